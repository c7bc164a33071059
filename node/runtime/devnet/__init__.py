"""A local EVM devnet: anvil, the contracts deployed, accounts funded."""
