"""Consented streams in one node: the gateway that writes, the home that decides, the provider that reads."""
