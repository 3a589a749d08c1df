"""A SIP and RTP user-agent library in pure Python. It knows nothing of click-to-call, HTTP or databases."""
