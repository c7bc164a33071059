"""Where channels are kept: see README.md beside this file."""
