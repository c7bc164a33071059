"""`wattpact verify-receipt`: the signed receipt of an erasure, by a reader or by a stream's writer, alone or against
exports of its streams; no network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from node.app.commands.chainproof import ChainSays
from node.app.commands.verify import chain_of, read_document
from node.cli.factories import Finding, ReceiptOptions
from node.errors import InvalidInput, Refused
from node.types import address_from_text, address_to_text, to_hex
from node.wire.erasure import ErasedStream, ErasureReceipt, read_receipt
from node.wire.past import PastReceipt, read_past

__all__ = ["verify_receipt"]


def verify_receipt(options: ReceiptOptions) -> Sequence[Finding]:
    """What was checked. Raises InvalidInput, TooLarge for files that are no JSON documents."""
    document = read_document(options.receipt)
    told = document if isinstance(document, dict) else {}
    body = told.get("receipt")
    receipt: ErasureReceipt | PastReceipt
    try:
        past = isinstance(body, dict) and "before_slot" in body
        receipt = read_past(told) if past else read_receipt(told)
    except Refused as refused:
        return [Finding("receipt", False, refused.message, refused.remedy or "Ask for the receipt again.")]
    findings = [_signed(receipt.account, options.account)]
    said: dict[bytes, ChainSays] = {}
    proven: list[Finding] = []
    for path in options.exports:
        place, chain, says = chain_of(path)
        proven += chain
        if (place.chain_id, place.registry) == (receipt.chain_id, receipt.registry):
            said[place.sid] = says
        else:
            proven.append(Finding("export", False, f"{path} is about another chain or registry than the receipt"))
    if isinstance(receipt, PastReceipt):
        return [*findings, _past(receipt), *proven, *_writer(receipt, said.get(receipt.sid))]
    return [*findings, _about(receipt), *proven, *(_commitment(each, said.get(each.sid)) for each in receipt.streams)]


def _past(receipt: PastReceipt) -> Finding:
    when, until = (datetime.fromtimestamp(at, UTC) for at in (receipt.erased_at, receipt.before or receipt.erased_at))
    what = f"sealed before {until:%Y-%m-%d %H:%M:%S} UTC" if receipt.before is not None else "that was sealed"
    why = f", {receipt.reason}" if receipt.reason else ""
    return Finding("stream", True, f"{to_hex(receipt.sid)}, everything {what} erased {when:%Y-%m-%d %H:%M:%S} UTC{why}")


def _writer(receipt: PastReceipt, says: ChainSays | None) -> list[Finding]:
    """Whoever wrote the stream has signed, and the commit of the last epoch that was erased is on the chain."""
    name = f"stream {to_hex(receipt.sid)[:12]}"
    went = f"{receipt.envelopes} envelopes and {receipt.keys} keys went, in {receipt.copies} stores"
    epoch = receipt.epoch if any(receipt.commit_hash) else 0  # of a former writer, or before the first
    found = [_stays(name, went, epoch, receipt.commit_hash, says)]
    entitled = [] if says is None else [says.entitled, *(each for _, each in says.commits.values())]
    if says is not None and receipt.account not in {each.writer for each in entitled if each is not None}:
        told = f"{address_to_text(receipt.account)} never wrote this stream"
        found.append(Finding("writer", False, told, "Do not rely on it."))
    elif says is not None:
        found.append(Finding("writer", True, "the account is a writer of the stream, as the chain has it"))
    return found


def _signed(signer: bytes, pinned: str | None) -> Finding:
    """A name inside a receipt proves nothing: whoever relies on it says which account must have signed."""
    account = address_to_text(signer)
    if pinned is None:
        return Finding("signature", True, f"by {account}: pin it with --account")
    try:
        wanted = address_from_text(pinned)
    except ValueError as error:
        raise InvalidInput(f"--account {error}.", field="account") from None
    if wanted != signer:
        return Finding("signature", False, f"by {account}, not by {pinned}", "Do not rely on it.")
    return Finding("signature", True, f"by {account}")


def _about(receipt: ErasureReceipt) -> Finding:
    when = datetime.fromtimestamp(receipt.erased_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    by = f"asked for by the {receipt.requested_by}" + (f" ({receipt.reason})" if receipt.reason else "")
    return Finding("consent", True, f"{to_hex(receipt.grant_id)}, erased {when} UTC, {by}")


def _commitment(stream: ErasedStream, says: ChainSays | None) -> Finding:
    """The commit that stays is the one that the chain has under this number."""
    name = f"stream {to_hex(stream.sid)[:12]}"
    went = f"{stream.readings} readings and {stream.envelopes} envelopes went"
    return _stays(name, went, stream.epoch, stream.commit_hash, says)


def _stays(name: str, went: str, epoch: int, commit_hash: bytes, says: ChainSays | None) -> Finding:
    if not epoch:
        return Finding(name, True, f"{went}; there was no commit")
    stays = f"commit {epoch} stays, {to_hex(commit_hash)}"
    if says is None:
        return Finding(name, True, f"{went}; {stays}; not compared with the chain: name an --export")
    known = says.commits.get(epoch)
    if known is None or known[0] != commit_hash:
        return Finding(name, False, f"{stays}, and the chain has another one", "Do not rely on it.")
    return Finding(name, True, f"{went}; {stays}, as the chain has it")
