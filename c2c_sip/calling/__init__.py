"""One click-to-call from click to hang-up: what may be dialled, where it goes, how it ends."""
