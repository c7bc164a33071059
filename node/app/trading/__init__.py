"""Energy and money in one node: the asset, the market, the owner, payments, netting, statements and twins."""
