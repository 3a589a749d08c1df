"""Against programs that we did not write: sipp, baresip, kamailio."""
