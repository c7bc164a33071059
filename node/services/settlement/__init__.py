"""Settlement statements: what was delivered against what was agreed, as lines that balance, invoices and documents."""
