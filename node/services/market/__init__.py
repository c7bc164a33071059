"""The marketplace operator's rules: the order book, and what a match must satisfy before anybody is bound by it."""
