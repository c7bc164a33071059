"""Generated bindings, one package for each contract."""
