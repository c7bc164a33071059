"""What the roles do: one package per service, none importing another."""
