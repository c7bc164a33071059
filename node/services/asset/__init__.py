"""An asset's rules: what it reports as delivered, and what it pays without asking its owner."""
