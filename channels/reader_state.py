"""The encoding of a reader, for its store. Secret: it opens everything the reader may open, so it is sealed at rest."""

from __future__ import annotations

from channels.chain import EnvelopeChain
from channels.codec import ByteReader, ByteWriter
from channels.errors import ChannelError, SnapshotInvalid, UnknownVersion
from channels.follower import Follower
from channels.keyring import Keyring
from channels.path import Path
from channels.reader import Reader
from channels.shared import ALONE, Shared
from channels.slots import StreamParams
from channels.watch import Watch

__all__ = ["restore_reader", "snapshot_reader"]

_VERSION = 2
_FIRST_VERSION = 1  # gaps of the chain did not know what lies below them


def snapshot_reader(reader: Reader) -> bytes:
    """Everything but recent envelopes and those that wait for a commit: read these from the log again."""
    out = ByteWriter().u16(_VERSION).raw(reader.params.sid).raw(reader.grant_id).u64(reader.capsule_epoch)
    follower = reader.follower
    out.flag(follower is not None)
    if follower is not None:
        out.u64(follower.epoch).raw(follower.head).u64(follower.removed_in).counted(follower.newest)
        out.flag(follower.n_live is not None).u32(follower.n_live or 0).u32(follower.path.leaf)
        out.u8(len(follower.path.keys)).raw(b"".join(follower.path.keys))
    reader.keyring.write(out)
    reader.chain.write(out)
    reader.watch.write(out)
    return out.done()


def restore_reader(params: StreamParams, data: bytes, shared: Shared = ALONE) -> Reader:
    """The inverse of `snapshot_reader`; SnapshotInvalid for other bytes or another stream."""
    try:
        source = ByteReader(data)
        version = source.u16()
        if version not in (_FIRST_VERSION, _VERSION):
            raise UnknownVersion(f"reader snapshot version {version}")
        if source.raw(32) != params.sid:
            raise SnapshotInvalid("the snapshot belongs to another stream")
        reader = Reader(params, source.raw(32), shared)
        reader.capsule_epoch = source.u64()
        if source.flag():
            reader.follower = _follower(source)
        reader.keyring = Keyring.read(params.sid, source)
        reader.chain = EnvelopeChain.read(source, linked=version == _VERSION)
        reader.watch = Watch.read(params, source)
        source.end()
    except ChannelError as error:
        raise SnapshotInvalid("the reader snapshot does not decode") from error
    return reader


def _follower(source: ByteReader) -> Follower:
    epoch, head, removed_in, newest = source.u64(), source.raw(32), source.u64(), source.counted()
    counted, n_live, leaf = source.flag(), source.u32(), source.u32()
    keys = [source.raw(32) for _ in range(source.u8())]
    return Follower(Path(leaf, keys), epoch, head, n_live if counted else None, removed_in, newest)
