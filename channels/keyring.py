"""The keys that open data: what a reader was given, and what it has thrown away again.

Epoch secrets turn into slot trees at once, and a slot tree is punctured as slots are consumed: a device that is
stolen later does not open what its owner no longer keeps (channels.md 4, rule 6).
"""

from __future__ import annotations

from collections.abc import Mapping

from channels.codec import ByteReader, ByteWriter
from channels.envelope import Lane, SlotCipher
from channels.errors import NoKey
from channels.ggm import DEPTH, LEAVES, Cover, CoverNode
from channels.history import Covers
from channels.masters import slot_root

__all__ = ["Keyring"]

_CIPHERS = 16  # lanes whose cipher objects are kept ready


class Keyring:
    """Epoch nodes and slot nodes of one stream, as one reader holds them."""

    __slots__ = ("_ciphers", "_epochs", "_roots", "_sid", "_slots")

    def __init__(self, sid: bytes) -> None:
        self._sid = sid
        self._epochs = Cover(())
        self._slots: dict[int, Cover] = {}
        self._roots: dict[
            int, bytes
        ] = {}  # whole slot trees that nobody looked into yet: most of them, after a catch-up
        self._ciphers: dict[Lane, SlotCipher] = {}

    def add_epoch(self, epoch: int, secret: bytes) -> None:
        """Keep the slot tree of an epoch; the secret itself is not kept."""
        self._slots.pop(epoch, None)
        self._roots[epoch] = slot_root(secret, self._sid, epoch)

    def add_covers(self, covers: Covers) -> None:
        """Add what a capsule gives. What was thrown away before and is given again opens again."""
        self._epochs = self._epochs.joined(covers.epochs)
        for epoch, nodes in covers.slots:
            self._slots[epoch] = (self._held(epoch) or Cover(())).joined(nodes)

    def slot_key(self, epoch: int, slot: int) -> bytes:
        """K_{e,t}; NoKey outside everything held."""
        held = self._held(epoch)
        if (held is None or slot not in held) and epoch in self._epochs:
            self._unfold(epoch)
            held = self._slots[epoch]
        if held is None:
            raise NoKey(f"nothing of epoch {epoch} was given to this reader")
        return held.leaf(slot)

    def cipher(self, lane: Lane) -> SlotCipher:
        """The message key of a lane; NoKey outside everything held."""
        found = self._ciphers.get(lane)
        if found is None:
            found = SlotCipher.of(self.slot_key(lane.epoch, lane.slot), lane)
            if len(self._ciphers) >= _CIPHERS:
                del self._ciphers[next(iter(self._ciphers))]
            self._ciphers[lane] = found
        return found

    def forget(self, before_slot: int, first_slots: Mapping[int, int]) -> None:
        """Throw away the keys of all slots below `before_slot`.

        `first_slots`: first slot per epoch as far as commits showed it. An epoch whose successor began before that
        slot goes wholly; an epoch that no commit is known for keeps its secret until one is.
        """
        self._ciphers.clear()
        for epoch, first in first_slots.items():
            if epoch in self._epochs and first < before_slot:
                self._unfold(epoch)
        for epoch in [*self._slots, *self._roots]:
            over = first_slots.get(epoch + 1)
            held = Cover(()) if over is not None and over < before_slot else self._held(epoch)
            left = held.without(0, before_slot) if held else None
            self._roots.pop(epoch, None)
            self._slots.pop(epoch, None)
            if left:
                self._slots[epoch] = left

    def erase(self, through: int, before_slot: int) -> None:
        """Throw away the keys of slots below `before_slot` under the epochs up to `through` (channels.md 4, rule 11).

        Of `through` the later slots stay, of the epochs before it nothing.
        """
        self._ciphers.clear()
        if before_slot < LEAVES and through in self._epochs:
            self._unfold(through)
        self._epochs = self._epochs.without(0, through + 1)
        for epoch in [each for each in (*self._slots, *self._roots) if each <= through]:
            held = self._held(epoch) if epoch == through else None
            self._roots.pop(epoch, None)
            self._slots.pop(epoch, None)
            if held and (left := held.without(0, before_slot)):
                self._slots[epoch] = left

    def _held(self, epoch: int) -> Cover | None:
        """What is held of an epoch's slot tree, its epoch secret aside."""
        root = self._roots.pop(epoch, None)
        if root is not None:
            self._slots[epoch] = Cover.whole(root)
        return self._slots.get(epoch)

    def _unfold(self, epoch: int) -> None:
        """Replace an epoch's secret by its slot tree, so that it can be punctured."""
        root = slot_root(self._epochs.leaf(epoch), self._sid, epoch)
        self._slots[epoch] = Cover.whole(root)
        self._epochs = self._epochs.without(epoch, epoch + 1)

    def covers(self) -> Covers:
        """Everything held, as secret nodes."""
        whole = [(epoch, (CoverNode(DEPTH, 0, root),)) for epoch, root in self._roots.items()]
        held = [(epoch, cover.nodes) for epoch, cover in self._slots.items() if cover]
        groups = tuple(sorted([*whole, *held], key=lambda group: group[0]))
        return Covers(self._epochs.nodes, groups)

    def write(self, out: ByteWriter) -> None:
        self.covers().write(out)

    @classmethod
    def read(cls, sid: bytes, data: ByteReader) -> Keyring:
        ring = cls(sid)
        ring.add_covers(Covers.read(data))
        return ring

    def holds(self, epoch: int, slot: int) -> bool:
        """Whether the key of a slot is held or can be derived."""
        if not 0 <= slot < LEAVES:
            return False
        held = self._held(epoch)
        return (held is not None and slot in held) or epoch in self._epochs
