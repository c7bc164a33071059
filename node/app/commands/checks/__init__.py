"""What `wattpact doctor` looks at, one module per place to look."""
