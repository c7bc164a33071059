"""How channels travel: see README.md beside this file."""
