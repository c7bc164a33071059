"""Pairing of a home with a gateway, without I/O. See the README beside this file."""
