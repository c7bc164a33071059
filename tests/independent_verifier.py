"""A second reading of channels.md: checks tests/vectors/ckt1.json with nothing of `channels` or `keys`.

Standard library and `cryptography` only, written from the text. `python tests/independent_verifier.py` prints what
was checked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from eth_utils.crypto import keccak

x = bytes.fromhex


def h(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def kdf(key: bytes, label: str, ctx: bytes = b"") -> bytes:
    return hmac.new(key, b"ckt1 " + label.encode() + b"\0" + ctx + b"\1", hashlib.sha256).digest()


def descend(key: bytes, index: int, depth: int) -> bytes:
    for shift in reversed(range(depth)):
        key = kdf(key, "ggm", bytes([index >> shift & 1]))
    return key


def slot_key(secret: bytes, sid: bytes, epoch: int, slot: int) -> bytes:
    return descend(kdf(secret, "slot-root", sid + struct.pack(">Q", epoch)), slot, 32)


def domain_separator(chain_id: int, registry: bytes) -> bytes:
    kind = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    words = kind + keccak(b"Wattpact ConsentRegistry") + keccak(b"1")
    return keccak(words + chain_id.to_bytes(32, "big") + registry.rjust(32, b"\0"))


def check_ggm(doc: dict[str, Any]) -> None:
    root = x(doc["root"])
    for leaf in doc["leaves"]:
        assert descend(root, leaf["leaf"], 32) == x(leaf["key"])
    for cover in doc["covers"]:
        at = cover["first"]
        for level, index, key in cover["nodes"]:
            assert index << level == at
            assert descend(root, index, 32 - level) == x(key)
            at += 1 << level
        assert at == cover["end"]


def parse_commit(data: bytes) -> dict[str, Any]:
    names = ["ver", "sid", "epoch", "prev", "first", "depth", "n_live", "block", "n_rem", "n_add", "n_wraps"]
    head = dict(zip(names, struct.unpack_from(">H32sQ32sQBIQHHH", data), strict=True))
    at = 101
    head["removed"] = [struct.unpack_from(">IH", data, at + 6 * n) for n in range(head["n_rem"])]
    at += 6 * head["n_rem"]
    head["added"] = [struct.unpack_from(">I", data, at + 4 * n)[0] for n in range(head["n_add"])]
    head["changes"] = data[101 : at + 4 * head["n_add"]]
    at += 4 * head["n_add"]
    head["wraps"] = {}
    for n in range(head["n_wraps"]):
        level, index, wrapped = struct.unpack_from(">BI40s", data, at + 45 * n)
        head["wraps"][level, index] = wrapped
    at += 45 * head["n_wraps"]
    head["epoch_wrap"], head["before_confirm"], head["confirm"] = (
        data[at : at + 40],
        data[: at + 40],
        data[at + 40 : at + 72],
    )
    assert len(data) == at + 72 + 65
    return head


def check_commit(doc: dict[str, Any], commit: dict[str, Any]) -> None:
    """Re-make every key and wrap with a dictionary for a tree, straight from rule 1."""
    data, sid = x(commit["data"]), x(doc["sid"])
    c = parse_commit(data)
    epoch, commit_hash = c["epoch"], h(data[:-65])
    assert commit_hash == x(commit["commit_hash"])
    assert c["prev"] == h(x(doc["first"])[:-65])
    struct_hash = keccak(
        keccak(b"StreamCommit(bytes32 sid,uint64 epoch,bytes32 commitHash)")
        + sid
        + epoch.to_bytes(32, "big")
        + commit_hash
    )
    digest = keccak(b"\x19\x01" + domain_separator(doc["chain_id"], x(doc["registry"])) + struct_hash)
    assert digest == x(commit["eip712_digest"])
    signature = data[-65:-1] + bytes([data[-1] - 27])
    signer = PublicKey.from_signature_and_message(signature, digest, hasher=None).format(compressed=False)
    assert keccak(signer[1:])[-20:] == x(doc["writer"])
    seed = h(c["prev"] + struct.pack(">Q", c["first"]) + c["changes"])

    def fresh(level: int, index: int) -> bytes:
        return kdf(x(doc["masters"]["T"]), "fresh", struct.pack(">QBI", epoch, level, index) + seed)

    keys = {tuple(map(int, name.split(","))): x(key) for name, key in doc["tree_keys"].items()}
    live = {index for level, index in keys if level == 0}
    used: dict[tuple[int, int], bytes] = {}

    def wrap(node: tuple[int, int], secret: bytes) -> None:
        wrap_key = kdf(keys[node], "wrap", sid + struct.pack(">QBI", epoch, *node))
        assert aes_key_unwrap(wrap_key, c["wraps"][node]) == secret
        used[node] = keys[node] = kdf(keys[node], "evolve")

    gone = {leaf for start, count in c["removed"] for leaf in range(start, start + count)}
    for level in range(doc["depth"], c["depth"]):
        if not gone:
            secret = fresh(level + 1, 0)
            wrap((level, 0), secret)
            keys[level + 1, 0] = kdf(secret, "node")
    live -= gone
    secrets: dict[tuple[int, int], bytes] = {}
    for level in range(1, c["depth"] + 1):
        for index in sorted({leaf >> level for leaf in gone}):
            children = [(level - 1, 2 * index), (level - 1, 2 * index + 1)]
            alive = [child for child in children if any(leaf >> child[0] == child[1] for leaf in live)]
            if not alive:
                continue
            source = next((child for child in children if child in secrets), None)
            p = kdf(secrets[source], "path") if source else fresh(level, index)
            for child in alive:
                if child != source:
                    wrap(child, p)
            secrets[level, index], keys[level, index] = p, kdf(p, "node")
    for level, index in [node for node in keys if not any(leaf >> node[0] == node[1] for leaf in live)]:
        del keys[level, index]
    for level in range(c["depth"] + 1):
        for index in {leaf >> level for leaf in c["added"]}:
            keys.setdefault((level, index), fresh(level, index))
    assert set(used) == set(c["wraps"])
    root = kdf(keys[c["depth"], 0], "wrap", sid + struct.pack(">QBI", epoch, c["depth"], 0))
    secret = aes_key_unwrap(root, c["epoch_wrap"])
    assert secret == x(commit["epoch_secret"]) == descend(kdf(x(doc["masters"]["M"]), "epoch-root", sid), epoch, 32)
    assert c["confirm"] == kdf(secret, "confirm", sid + struct.pack(">Q", epoch) + h(c["before_confirm"]))
    assert c["n_live"] == len(live) + len(c["added"])


def check_welcome(doc: dict[str, Any], stream: dict[str, Any]) -> None:
    w, data, sid = stream["welcome"], x(stream["welcome"]["data"]), x(doc["sid"])
    assert struct.unpack_from(">HBQI", data) == (1, 1, w["epoch"], w["leaf"])
    separator = domain_separator(doc["chain_id"], x(doc["registry"]))
    bound = separator + sid + x(w["grant_id"]) + struct.pack(">QI", w["epoch"], w["leaf"])
    info = b"ckt1 welcome" + h(bound + x(w["reader_key_hash"]) + x(w["commit_hash"]) + bytes(32))
    public = Ed25519PublicKey.from_public_bytes(x(stream["stream_public"]))
    public.verify(data[-64:], b"ckt1 capsule\0" + info + data[:-64])
    stretched = hashlib.shake_256(x(w["seed"])).digest(96)
    key = MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(stretched[:64]), X25519PrivateKey.from_private_bytes(stretched[64:])
    )
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    text = suite.decrypt(data[15:-64], key, info)
    depth = text[12]
    assert struct.unpack_from(">IQ", text) == (w["leaf"], w["epoch"])
    keys = [text[13 + 32 * n : 45 + 32 * n] for n in range(depth + 1)]
    assert keys == [x(key) for key in w["path_keys"]]
    at = 13 + 32 * (depth + 1)
    assert text[at : at + 32] == x(w["epoch_secret"])
    # One closed epoch, of which the grant has slot 1 and what else it can hold: slot nodes of epoch 1.
    assert text[at + 32 : at + 36] == b"\0\0\0\1"
    epoch, count = struct.unpack_from(">QB", text, at + 36)
    first = descend(kdf(x(doc["masters"]["M"]), "epoch-root", sid), epoch, 32)
    top = kdf(first, "slot-root", sid + struct.pack(">Q", epoch))
    at += 45
    slots: list[int] = []
    for _ in range(count):
        level, index = struct.unpack_from(">BI", text, at)
        assert descend(top, index, 32 - level) == text[at + 5 : at + 37]
        slots.extend(range(index << level, (index + 1) << level))
        at += 37
    assert (epoch, slots, at) == (1, [1], len(text))


def check_stream(doc: dict[str, Any], stream: dict[str, Any]) -> None:
    sid, prev = x(doc["sid"]), bytes(32)
    epoch_root = kdf(x(doc["masters"]["M"]), "epoch-root", sid)
    hashes = []
    for number, envelope in enumerate(stream["envelopes"], 1):
        data = x(envelope["data"])
        ver, found, epoch, slot, inst, seq, prev_hash = struct.unpack_from(">H32sQI16sQ32s", data)
        assert (ver, found, slot, seq, prev_hash) == (1, sid, envelope["slot"], number, prev)
        key = slot_key(descend(epoch_root, epoch, 32), sid, epoch, slot)
        base = int.from_bytes(kdf(key, "nonce", inst)[:12], "big")
        nonce = (base ^ seq).to_bytes(12, "big")
        assert AESGCM(kdf(key, "aead", inst)).decrypt(nonce, data[102:], data[:102]) == x(envelope["plaintext"])
        prev = h(data)
        hashes.append(prev)
    public, covered = Ed25519PublicKey.from_public_bytes(x(stream["stream_public"])), 0
    for checkpoint in stream["checkpoints"]:
        data = x(checkpoint["data"])
        public.verify(data[-64:], b"ckt1 checkpoint\0" + data[:-64])
        ver, found, epoch, slot, first, count, last, confirm = struct.unpack_from(">H32sQIQI32s32s", data)
        assert (ver, found, first, count) == (1, sid, covered + 1, checkpoint["count"])
        covered += count
        assert last == hashes[covered - 1]
        assert confirm == kdf(slot_key(descend(epoch_root, epoch, 32), sid, epoch, slot), "confirm")
    assert covered == len(hashes)


def check_two_signatures(doc: dict[str, Any], two: dict[str, Any]) -> None:
    public, commit, point = x(two["stream_public"]), x(two["commit"]), x(two["checkpoint"])
    assert h(b"\2" + public) == x(two["stream_key_hash"])
    first, second = Ed25519PublicKey.from_public_bytes(public[:32]), MLDSA65PublicKey.from_public_bytes(public[32:])
    assert commit[:34] == point[:34] == b"\0\2" + x(doc["sid"])
    second.verify(commit[-3309:], b"ckt1 commit\0" + h(commit[: -3309 - 65]))
    body = b"ckt1 checkpoint\0" + point[: -3309 - 64]
    first.verify(point[-3309 - 64 : -3309], body)
    second.verify(point[-3309:], body)


def verify(document: dict[str, Any]) -> list[str]:
    check_ggm(document["ggm"])
    for commit in document["commit"]["commits"].values():
        check_commit(document["commit"], commit)
    check_welcome(document["commit"], document["stream"])
    check_stream(document["commit"], document["stream"])
    check_two_signatures(document["commit"], document["two_signatures"])
    return ["ggm", *document["commit"]["commits"], "welcome", "stream", "two signatures"]


if __name__ == "__main__":
    path = Path(__file__).parent / "vectors" / "ckt1.json"
    print("checked:", ", ".join(verify(json.loads(path.read_text(encoding="utf-8")))))
