"""The digital twin of a trade: what its entries say, and whether database, channel and chain agree. Pure."""
