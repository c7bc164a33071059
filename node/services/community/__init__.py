"""An energy community's rules: which readings of its sources mint, and when a gateway signs the next."""
