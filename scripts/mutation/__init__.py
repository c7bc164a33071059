"""What `scripts/mutate` is made of: the mutants and their differences, and the tests that try them."""
