"""Identities, signed messages, sealing and the keystore. See the README beside this file."""
