"""`wattpact verify`: a channel log against exported headers and events, without a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from keys.messages import registry_domain
from node.api.views import ExportView
from node.app.commands.chainproof import ChainSays, Place, read_chain
from node.app.commands.exported import ChannelLog, event_from_json, header_from_json, log_from_json
from node.app.commands.logproof import read_log
from node.cli.factories import Finding, VerifyOptions
from node.errors import InvalidInput, TooLarge
from node.types import address_from_text, address_to_text

__all__ = ["chain_of", "read_document", "verify_export"]

_MAX_BYTES: Final = 1_000_000_000


def verify_export(options: VerifyOptions) -> Sequence[Finding]:
    """What was checked, each with a count. Raises InvalidInput for files that are no export at all, TooLarge."""
    export = _export(read_document(options.export))
    log = _log(export, options.log)
    _, chain, says = _chain(export)
    return [
        _registry(export, options.registry),
        *chain,
        *read_log(export.sid, registry_domain(export.chain_id, export.registry), says, log),
    ]


def chain_of(path: Path) -> tuple[Place, list[Finding], ChainSays]:
    """Which stream an export is about, the findings about its half of the chain, and what that says.

    Raises InvalidInput, TooLarge.
    """
    return _chain(_export(read_document(path)))


def _chain(export: ExportView) -> tuple[Place, list[Finding], ChainSays]:
    if not 0 < export.chain_id < 2**63:
        raise InvalidInput("The export names no possible chain.", remedy="Export again.", field="chain_id")
    headers = [header_from_json(entry, f"headers[{index}]") for index, entry in enumerate(export.headers)]
    events = [event_from_json(entry, f"events[{index}]") for index, entry in enumerate(export.events)]
    place = Place(export.chain_id, export.registry, export.sid)
    chain, says = read_chain(place, headers, events)
    return place, chain, says


def _registry(export: ExportView, pinned: str | None) -> Finding:
    """Signatures and the stream's id hold for this registry only, so everything hangs on its being the right one."""
    where = f"{address_to_text(export.registry)} on chain {export.chain_id}"
    if pinned is None:
        return Finding("registry", True, f"{where}, as the export says: pin it with --registry")
    try:
        wanted = address_from_text(pinned)
    except ValueError as error:
        raise InvalidInput(f"--registry {error}.", field="registry") from None
    if wanted != export.registry:
        remedy = "Do not rely on it: anybody can deploy a registry of their own."
        return Finding("registry", False, f"the export is about {where}, not {pinned}", remedy)
    return Finding("registry", True, where)


def read_document(path: Path) -> Any:
    """A JSON document. Raises InvalidInput, TooLarge."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise TooLarge(f"{path} has more than {_MAX_BYTES} bytes.", remedy="Export a shorter stretch of the log.")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}).", remedy="Check the path.") from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"{path} is not a JSON document.", remedy="Export again.") from None


def _export(document: Any) -> ExportView:
    try:
        return ExportView.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InvalidInput(
            f"This is no export of a node: {place}: {first['msg']}.",
            remedy="Make one with `wattpact stream export`.",
            field=place,
        ) from None


def _log(export: ExportView, path: Path | None) -> ChannelLog:
    """The log of its own file if there is one, a list of entries or an object with `log`; else the export's."""
    if path is None:
        return log_from_json(export.log)
    document = read_document(path)
    entries = document.get("log") if isinstance(document, dict) else document
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInput(f"{path} holds no list of log entries.", remedy="Export again.")
    return log_from_json(entries)
