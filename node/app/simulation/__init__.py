"""A community at high speed: many assets, a real market and its real contract on a local chain, days in minutes."""
