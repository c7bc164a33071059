"""Settings of a bid manager that runs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from node.config.values import Listen, ListenText, WebUrl

__all__ = ["BidsSettings"]


class BidsSettings(BaseModel):
    """A bid manager of its own (`wattpact bids run`), which keeps the market's book behind mutual TLS."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    url: WebUrl | None = Field(default=None, description="its address, https; none for a book inside the market")
    listen: ListenText = Field(
        default=Listen("127.0.0.1", 8760), description="where the market takes /market/match from the bid manager"
    )
    tls: Path | None = Field(
        default=None,
        description="folder with authority.pem, server.pem and .key, client-market.pem and .key, as "
        "`wattpact broker certs` makes them",
    )
    manager: str = Field(
        default="bids", min_length=1, max_length=64, description="name in the client certificate of the bid manager"
    )

    @model_validator(mode="after")
    def _mutual(self) -> Self:
        if self.url is not None and not self.url.startswith("https://"):
            raise ValueError("the bid manager is spoken to over https")
        if self.url is not None and self.tls is None:
            raise ValueError("a bid manager of its own needs tls, the folder with the certificates")
        return self
