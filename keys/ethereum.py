"""`eth_account`, for what is done seldom: unusual transactions, and keys in the form that other wallets read.

It takes half a second to import, so whoever needs it imports this module where it is needed. It also brings a pairing
library that raises the recursion limit of the whole process to 100,000; see the package. Nobody else imports it.
"""

from __future__ import annotations

from eth_account import Account

from keys import ordinary_recursion

__all__ = ["Account"]

ordinary_recursion()
