"""The gateway's writing of streams: from judged readings to envelopes, commits and capsules."""
