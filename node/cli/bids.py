"""bids run: the market's book as a program of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.factories import BidsOptions, CliFactories
from node.cli.session import guarded
from node.config import Listen, parse_listen
from node.errors import UsageError

__all__ = ["add_bids_command"]


def add_bids_command(app: typer.Typer, factories: CliFactories) -> None:
    bids = typer.Typer(help="A market's bid manager on its own.", no_args_is_help=True)
    app.add_typer(bids, name="bids")

    @bids.callback()
    def group() -> None:
        pass

    @bids.command(
        help="Keep the book of a market that names this program in [bids] url. Without keys, chain or database; both "
        "sides show certificates.\n\n"
        "  wattpact broker certs tls --host bids.internal --client bids\n\n"
        "  wattpact bids run --market https://market.internal:8760 --tls tls --listen 10.0.0.6:8770"
    )
    @guarded
    def run(
        market: Annotated[str, typer.Option(help="Where the market takes matches: its [bids] listen, as https.")],
        tls: Annotated[
            Path, typer.Option(help="Folder with authority.pem, server.pem and .key, client-bids.pem and .key.")
        ],
        listen: Annotated[str, typer.Option(help="Address and port.")] = str(Listen("127.0.0.1", 8770)),
        engine: Annotated[str, typer.Option(help="Matching rule; the market's [market] engine names it too.")] = (
            "continuous"
        ),
    ) -> None:
        try:
            where = parse_listen(listen)
        except ValueError as error:
            raise UsageError(f"--listen {error}.") from error
        factories.bids(BidsOptions(where, tls, market, engine))
