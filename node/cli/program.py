"""The command `wattpact`: options before the command, and the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from node.cli.assets import add_asset_commands
from node.cli.bids import add_bids_command
from node.cli.configs import add_config_commands
from node.cli.consents import add_consent_commands
from node.cli.daemon import add_daemon_commands
from node.cli.events import add_event_commands
from node.cli.factories import CliFactories
from node.cli.gateway import add_gateway_commands
from node.cli.jobs import add_job_commands
from node.cli.keys import add_key_commands
from node.cli.pages import add_page_command
from node.cli.pairing import add_pairing_commands
from node.cli.session import Session, guarded
from node.cli.settlement import add_settlement_commands
from node.cli.simulation import add_simulation_command
from node.cli.statements import add_statement_commands
from node.cli.status import add_status_commands
from node.cli.streams import add_stream_commands
from node.cli.tokens import add_token_commands
from node.config import VERSION
from node.errors import UsageError

__all__ = ["create_cli"]

_HELP: Final = """A node for local energy systems: consented, end-to-end encrypted meter data.

Start: wattpact init, then wattpact run. To see everything work: wattpact demo.
"""
_EXIT_CODES: Final = (
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 config, 4 not reachable, 5 refused, 6 not found, 7 busy, 8 needs a person."
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wattpact {VERSION}")
        raise typer.Exit


def create_cli(factories: CliFactories) -> typer.Typer:
    """The whole command line. Call the result, or hand it to typer's CliRunner."""
    app = typer.Typer(
        name="wattpact", help=_HELP, epilog=_EXIT_CODES, no_args_is_help=True, pretty_exceptions_show_locals=False,
        rich_markup_mode=None,
    )  # fmt: skip

    @app.callback()
    @guarded
    def options(
        context: typer.Context,
        config: Annotated[
            Path | None,
            typer.Option("--config", "-c", help="Config file; else WATTPACT_CONFIG or the data folder."),
        ] = None,
        data_dir: Annotated[
            Path | None, typer.Option("--data-dir", "-d", help="Data folder; ~/.wattpact by default.")
        ] = None,
        settings: Annotated[
            list[str] | None, typer.Option("--set", help="One setting, section.key=value; may be repeated.")
        ] = None,
        log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_version)
        ] = False,
    ) -> None:
        flags: dict[str, object] = {}
        for item in settings or []:
            key, sign, value = item.partition("=")
            if not sign or "." not in key:
                raise UsageError(
                    f"--set {key} is not section.key=value.", remedy="Write --set api.listen=127.0.0.1:9000."
                )
            flags[key.strip()] = value
        if log_level is not None:
            flags["log.level"] = log_level
        context.obj = Session(config, data_dir, flags)

    add_daemon_commands(app, factories)
    add_simulation_command(app, factories)
    add_bids_command(app, factories)
    add_page_command(app)
    add_pairing_commands(app)
    add_gateway_commands(app, factories)
    add_stream_commands(app)
    add_consent_commands(app)
    add_settlement_commands(app)
    add_asset_commands(app)
    add_statement_commands(app)
    add_status_commands(app)
    add_event_commands(app)
    add_key_commands(app, factories)
    add_token_commands(app)
    add_job_commands(app)
    add_config_commands(app)
    return app
