"""The REST interface: thin, generated from one table of operations. See the README beside this file."""

from node.api.application import ApiParts, create_api
from node.api.eventhandlers import FeedParts
from node.api.facade import (
    ConsentFacade,
    HealthFacade,
    LedgerFacade,
    MessageFacade,
    NodeFacade,
    PairingFacade,
    StreamFacade,
)
from node.api.idempotency import IdempotencyStore, MemoryIdempotencyStore, StoredAnswer
from node.api.server import ApiServer
from node.api.tokens import MemoryTokenStore, Scope, TokenRecord, Tokens, TokenStore

__all__ = [
    "ApiParts",
    "ApiServer",
    "ConsentFacade",
    "FeedParts",
    "HealthFacade",
    "IdempotencyStore",
    "LedgerFacade",
    "MemoryIdempotencyStore",
    "MemoryTokenStore",
    "MessageFacade",
    "NodeFacade",
    "PairingFacade",
    "Scope",
    "StoredAnswer",
    "StreamFacade",
    "TokenRecord",
    "TokenStore",
    "Tokens",
    "create_api",
]
