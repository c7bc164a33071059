"""`wattpact broker certs`: an authority of one's own, and certificates for a broker and its users."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import Output
from node.cli.session import JsonFlag, guarded
from node.errors import UsageError
from node.runtime.broker.authority import CertificateFiles, issue_client, issue_server, make_authority

__all__ = ["add_certificate_command"]


def add_certificate_command(broker: typer.Typer) -> None:
    @broker.command(
        name="certs",
        help="Make a certificate authority, if the folder has none, and certificates under it. Overwrites nothing.\n\n"
        "  wattpact broker certs tls --host broker.local --host 192.168.1.5\n\n"
        "  wattpact broker certs tls --client provider-1",
    )
    @guarded
    def make_certificates(
        folder: Annotated[Path, typer.Argument(help="Where the files are and go.")],
        host: Annotated[list[str] | None, typer.Option(help="Name or address of the broker; may repeat.")] = None,
        client: Annotated[list[str] | None, typer.Option(help="Broker user who gets one; may repeat.")] = None,
        name: Annotated[str, typer.Option(help="Name of a new authority.")] = "Wattpact broker authority",
        as_json: JsonFlag = False,
    ) -> None:
        if not host and not client:
            raise UsageError("Nothing to make.", remedy="Name the broker with --host, or a user with --client.")
        now = datetime.now(UTC)
        authority = CertificateFiles(folder / "authority.pem", folder / "authority.key")
        made: list[tuple[str, CertificateFiles]] = []
        if not authority.certificate.exists():
            made.append(("authority", make_authority(folder, name, now)))
        if host:
            made.append(("broker", issue_server(folder, authority, host, now)))
        made += [(f"user {user}", issue_client(folder, authority, user, now)) for user in client or ()]
        rows = [{"for": what, "certificate": str(files.certificate), "key": str(files.key)} for what, files in made]
        Output(as_json).many(rows, (("for", "for"), ("certificate", "certificate"), ("key", "key")), "")
