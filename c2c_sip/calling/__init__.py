"""One click-to-call from click to hang-up: policy, routing, flow, recorder, and the door that the API knocks at."""
