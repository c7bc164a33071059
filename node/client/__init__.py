"""For programs of others: what it takes to have an asset of one's own in a market. See `node.client.market`."""
