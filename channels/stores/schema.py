"""The tables of the SQL store and the way from one version of them to the next.

The store has its own metadata and its own version number, beside whatever else lives in the same database; every
table name begins with `channel_`. `upgrade` creates or brings forward in one transaction. It refuses a newer database:
an old program that writes into a newer schema damages what it does not know.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
    update,
)

from channels.errors import StoreSchemaError

__all__ = [
    "METADATA",
    "SCHEMA_VERSION",
    "alarm",
    "capsule",
    "change",
    "checkpoint",
    "commit",
    "cursor",
    "envelope",
    "erasure",
    "leaf",
    "log",
    "meta",
    "pending",
    "reader",
    "reading",
    "stream",
    "upgrade",
    "writer",
]

METADATA = MetaData()
# Only an Integer primary key counts by itself in SQLite.
_ID = BigInteger().with_variant(Integer(), "sqlite")


class _Bytes(LargeBinary):
    """Bytes as they are: the drivers take them without the wrapper that costs a fifth of a bulk insert."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        return None


def _big(name: str, *, primary: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=primary, nullable=False, autoincrement=False)


def _bytes(name: str, *, primary: bool = False, nullable: bool = False) -> Column[bytes]:
    return Column(name, _Bytes, primary_key=primary, nullable=nullable)


meta = Table("channel_meta", METADATA, Column("key", Text, primary_key=True), _bytes("value"))

stream = Table(
    "channel_stream",
    METADATA,
    Column("id", _ID, primary_key=True),
    _bytes("sid"),
    _big("position"),
    _big("pending_id"),
    _bytes("progress", nullable=True),
    UniqueConstraint("sid"),
)

# Apart from the stream's own row, which every seal touches: a database writes a row as a whole.
writer = Table("channel_writer", METADATA, _big("stream", primary=True), _bytes("snapshot"))

change = Table("channel_change", METADATA, _big("stream", primary=True), _big("epoch", primary=True), _bytes("data"))

commit = Table(
    "channel_commit",
    METADATA,
    _big("stream", primary=True),
    _big("epoch", primary=True),
    _big("position"),
    _bytes("hash"),
    _bytes("data"),
    Index("channel_commit_position", "stream", "position"),
)

envelope = Table(
    "channel_envelope",
    METADATA,
    _big("stream", primary=True),
    _big("position", primary=True),
    _big("epoch"),
    _big("slot"),
    _bytes("inst"),
    _big("seq"),
    _bytes("hash"),
    _bytes("data"),
    # Serves the range reads by sequence number and forbids two envelopes for one key and nonce.
    UniqueConstraint("stream", "seq", "inst", "epoch", "slot"),
)

checkpoint = Table(
    "channel_checkpoint",
    METADATA,
    _big("stream", primary=True),
    _big("position", primary=True),
    _big("epoch"),
    _big("slot"),
    _bytes("inst"),
    _big("first_seq"),
    _big("count"),
    _bytes("hash"),
    _bytes("data"),
    UniqueConstraint("stream", "hash"),
)

capsule = Table(
    "channel_capsule",
    METADATA,
    _big("stream", primary=True),
    _bytes("grant_id", primary=True),
    _big("epoch"),
    _big("position"),
    _bytes("hash"),
    _bytes("data"),
)

cursor = Table(
    "channel_cursor",
    METADATA,
    _big("stream", primary=True),
    Column("kind", Text, primary_key=True),
    _big("position"),
)

pending = Table(
    "channel_pending",
    METADATA,
    _big("stream", primary=True),
    _big("id", primary=True),
    _big("slot"),
    _big("meter_time"),
    _big("received_at"),
    _bytes("payload"),
    Index("channel_pending_order", "stream", "slot", "meter_time", "id"),
)

leaf = Table(
    "channel_leaf",
    METADATA,
    _big("stream", primary=True),
    _big("leaf", primary=True),
    _bytes("grant_id"),
    _big("end_slot"),
    _bytes("data"),
)

reader = Table(
    "channel_reader",
    METADATA,
    Column("id", _ID, primary_key=True),
    _big("stream"),
    _bytes("grant_id"),
    _bytes("snapshot"),
    UniqueConstraint("stream", "grant_id"),
)

reading = Table(
    "channel_reading",
    METADATA,
    _big("reader", primary=True),
    _big("meter_time", primary=True),
    _big("epoch", primary=True),
    _big("seq", primary=True),
    _big("index", primary=True),
    _bytes("inst", primary=True),
    _big("slot"),
    Column("provisional", Boolean, nullable=False),
    _bytes("payload"),
)
# Holds only what no checkpoint covers yet, so it stays as small as one slot.
Index(
    "channel_reading_provisional",
    reading.c.reader,
    reading.c.seq,
    sqlite_where=reading.c.provisional,
    postgresql_where=reading.c.provisional,
)

alarm = Table(
    "channel_alarm",
    METADATA,
    Column("id", _ID, primary_key=True),
    _big("stream"),
    _bytes("digest"),
    Column("kind", Text, nullable=False),
    _big("raised_at"),
    _bytes("evidence"),
    UniqueConstraint("stream", "digest"),
)

erasure = Table(
    "channel_erasure",
    METADATA,
    _bytes("erasure_id", primary=True),
    _big("stream", primary=True),
    _bytes("grant_id"),
    _big("at"),
    _big("readings"),
    _big("envelopes"),
    _big("checkpoints"),
    _big("capsules"),
    _big("alarms"),
    _big("epoch"),
    _bytes("commit_hash"),
)

log = Table(
    "channel_log",
    METADATA,
    _bytes("log_id", primary=True),
    _big("seq", primary=True),
    _bytes("hash"),
    _bytes("data"),
)


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


def _split_writer(connection: Connection) -> None:
    """The writer's whole state moves out of the stream's row, to be written at a commit and not at every seal."""
    if "writer" not in {column["name"] for column in inspect(connection).get_columns(stream.name)}:
        return  # created a moment ago
    METADATA.create_all(connection, [writer, change])
    connection.exec_driver_sql(
        "INSERT INTO channel_writer (stream, snapshot) SELECT id, writer FROM channel_stream WHERE writer IS NOT NULL"
    )
    connection.exec_driver_sql("ALTER TABLE channel_stream DROP COLUMN writer")
    column = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    connection.exec_driver_sql(f"ALTER TABLE channel_stream ADD COLUMN progress {column}")


def _add_erasure(connection: Connection) -> None:
    METADATA.create_all(connection, [erasure])


# Step n takes a database from version n to n + 1. Steps are added, never changed.
_STEPS: tuple[Callable[[Connection], None], ...] = (_create, _split_writer, _add_erasure)
SCHEMA_VERSION = len(_STEPS)
_VERSION_KEY = "schema_version"


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(meta.name):
        return 0
    value = connection.execute(select(meta.c.value).where(meta.c.key == _VERSION_KEY)).scalar_one_or_none()
    if value is None:
        raise StoreSchemaError("the database has a channel_meta table without a version: not a channel store")
    try:
        return int(value)
    except ValueError:
        raise StoreSchemaError("the version of the channel store cannot be read") from None


def upgrade(connection: Connection) -> None:
    """Create the tables or bring them to SCHEMA_VERSION, inside the caller's transaction. Raises StoreSchemaError."""
    if connection.dialect.name == "postgresql":
        # Several processes may start at once; the number is arbitrary and ours.
        connection.execute(text("SELECT pg_advisory_xact_lock(5072846)"))
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise StoreSchemaError(
            f"the channel store has version {version}, this program knows {SCHEMA_VERSION}: start the newer program"
        )
    for step in _STEPS[version:]:
        step(connection)
    value = str(SCHEMA_VERSION).encode()
    if version == 0:
        connection.execute(insert(meta).values(key=_VERSION_KEY, value=value))
    elif version < SCHEMA_VERSION:
        connection.execute(update(meta).where(meta.c.key == _VERSION_KEY).values(value=value))
