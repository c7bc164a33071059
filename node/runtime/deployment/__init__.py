"""Puts the contracts on any chain: what is to be deployed where, what it costs, and the deployment itself."""
