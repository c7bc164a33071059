"""A writer from its masters and its own commit log (channels.md 2: the tree follows from T and the log)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from channels.capsule import StreamSigner
from channels.commit import Commit, Header, unsigned_part, verify_commit_signature
from channels.errors import ChannelError, RebuildMismatch
from channels.gate import MAX_SKEW_LIMIT
from channels.issuer import Member
from channels.masters import Masters
from channels.position import START, Position
from channels.slots import OPEN_SLOT, StreamParams
from channels.writer import Changes, Join, Writer
from channels.writer_state import WriterState

__all__ = ["rebuild_writer"]


def rebuild_writer(
    params: StreamParams,
    masters: Masters,
    stream_key: StreamSigner,
    instance: bytes,
    log: Sequence[bytes],
    members: Iterable[Member],
    active: int,
    position: Position = START,
    base: WriterState | None = None,
) -> Writer:
    """Re-make every commit of `log` and compare it byte for byte; RebuildMismatch where one differs.

    `members`: the leaves that are live after the log (their start and end slots are in no commit). `active`: the
    newest epoch that the chain shows. `position`: the high-water mark. `base`: the state before the log, for a
    writer that took over from another one or erased its past; without it the log starts with epoch 1.
    """
    writer = Writer(params, masters, stream_key, instance, base)
    for data in log:
        _replay(writer, data)
    state = writer.state
    leaves = set()
    watched = (state.log.first_slot(state.epoch) if log else 0) - MAX_SKEW_LIMIT // params.slot_seconds - 1
    for member in members:
        leaves.add(member.leaf)
        try:
            state.tree.set_end(member.leaf, member.end_slot)
        except ChannelError as error:
            raise RebuildMismatch(f"leaf {member.leaf} is recorded and not in the log") from error
        if member.start_slot >= watched:
            state.starts[member.leaf] = member.start_slot
    if len(leaves) != state.tree.n_live:
        raise RebuildMismatch(f"the log has {state.tree.n_live} live leaves, {len(leaves)} are recorded")
    state.active = max(state.active, min(active, state.epoch))
    state.position = position
    return writer


def _replay(writer: Writer, data: bytes) -> None:
    try:
        header = Header.decode(data)
        params = writer.params
        verify_commit_signature(data, header, params.domain, params.writer, params.ml_dsa_public)
        commit = Commit.decode(data, header)
        removed = tuple(commit.body.removed_leaves())
        # End slots are not in the log; members that ended were removed, so an open end contradicts nothing here.
        added = tuple(Join(0, OPEN_SLOT, leaf) for leaf in commit.body.added)
        changes = Changes(header.first_slot, header.grant_block, removed, added)
        prepared = writer.prepare(changes, header.depth)
    except ChannelError as error:
        raise RebuildMismatch("the commit log does not follow from these masters") from error
    if prepared.unsigned != unsigned_part(data):
        raise RebuildMismatch(f"epoch {header.epoch} is re-made differently: other masters, or another log")
    writer.adopt_delta(prepared)
