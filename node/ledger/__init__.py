"""The node's side of the chain: RPC, header chain, indexer, sender, relay, views."""
