"""Programs of a provider that work on what a node gives them; small enough to copy."""
