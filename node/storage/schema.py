"""The tables. Migrations carry their own frozen copy; a test compares the two.

Keys and hashes are bytes, times integer seconds UTC, documents the versioned JSON of `node.projection.codec`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "METADATA",
    "blocks",
    "calls",
    "cursors",
    "deliveries",
    "facts",
    "feed",
    "journal",
    "journal_targets",
    "outbox",
    "parcels",
    "state_links",
    "states",
    "subscriptions",
    "timers",
    "tokens",
    "transactions",
    "webhooks",
]

METADATA = MetaData()
# On SQLite an INTEGER key is the row id itself, without a second index.
_ROWID = BigInteger().with_variant(Integer(), "sqlite")

journal = Table(
    "journal",
    METADATA,
    Column("seq", _ROWID, primary_key=True, autoincrement=False),
    Column("type", String(64), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
)
journal_targets = Table(
    "journal_targets",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
)
states = Table(
    "states",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("top_block", BigInteger),
    Column("unsettled", BigInteger),
    Column("chain_deadline", BigInteger),
    Column("created_seq", BigInteger, nullable=False),
    Column("updated_seq", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("states_by_status", "kind", "status", "created_seq"),
    Index("states_by_top_block", "top_block"),
    Index("states_by_unsettled", "unsettled"),
    Index("states_by_chain_deadline", "chain_deadline"),
    # Of contracts only: what follows them from change to change costs every other state nothing.
    Index(
        "states_of_trades",
        "kind",
        "updated_seq",
        "key",
        sqlite_where=text("kind = 'trade'"),
        postgresql_where=text("kind = 'trade'"),
    ),
)
state_links = Table(
    "state_links",
    METADATA,
    Column("name", String(16), primary_key=True),
    Column("value", LargeBinary, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Index("state_links_by_state", "kind", "key"),
)
timers = Table(
    "timers",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("name", String(16), primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Index("timers_by_due", "due_at"),
)
outbox = Table(
    "outbox",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("type", String(64), nullable=False),
    Column("lane", String(160), nullable=False),
    Column("effect", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("leased_until", BigInteger),
    Column("worker", String(64)),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Index("outbox_by_status", "status", "seq", "position"),
    Index("outbox_by_lane", "lane", "status", "seq", "position"),
)
blocks = Table(
    "blocks",
    METADATA,
    Column("number", _ROWID, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("parent", LargeBinary, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
)
cursors = Table(
    "cursors",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
transactions = Table(
    "transactions",
    METADATA,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", LargeBinary, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("nonce", BigInteger),
    Column("status", String(16), nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("transactions_unfinished", "chain_id", "sender", "finished", "created_at"),
    Index("transactions_by_nonce", "chain_id", "sender", "nonce"),
)
# Written once for each transaction, and apart: a row that is written again is written as a whole.
calls = Table(
    "calls",
    METADATA,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", LargeBinary, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("call", LargeBinary, nullable=False),
)
parcels = Table(
    "parcels",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Index("parcels_by_expiry", "expires_at"),
)
tokens = Table(
    "tokens",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    UniqueConstraint("digest", name="tokens_by_digest"),
)
facts = Table(
    "facts",
    METADATA,
    Column("namespace", String(64), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("value", Text, nullable=False),
)
feed = Table(
    "feed",
    METADATA,
    Column("seq", _ROWID, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("aggregate", String(16), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("undoes", BigInteger),
    Column("block_number", BigInteger),
    Column("block_hash", LargeBinary),
    # Set while a reorganisation below this height would take the event back.
    Column("undo_height", BigInteger),
    Column("document", Text, nullable=False),
    Index("feed_by_undo_height", "undo_height"),
)
subscriptions = Table(
    "subscriptions",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("filter", Text, nullable=False),
    Column("acked", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("acked_at", BigInteger),
)
webhooks = Table(
    "webhooks",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("filter", Text, nullable=False),
    Column("acked", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failing_since", BigInteger),
    Column("due_at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("delivered_at", BigInteger),
)

# Derived from states, for statements: one row for each contract whose delivery is settled and final.
deliveries = Table(
    "deliveries",
    METADATA,
    Column("contract", LargeBinary, primary_key=True),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("seller", LargeBinary, nullable=False),
    Column("buyer", LargeBinary, nullable=False),
    Column("contracted", BigInteger, nullable=False),
    # Minor units have up to 80 bits.
    Column("price", String(32), nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("due", String(32), nullable=False),
    Column("by_seller", BigInteger),
    Column("by_buyer", BigInteger),
    Column("fee", String(32)),
    Column("fee_by", LargeBinary),
    Column("carrier", String(32), nullable=False, server_default="electric"),
    Index("deliveries_by_start", "start", "contract"),
)
