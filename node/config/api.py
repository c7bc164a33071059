"""Settings of the REST interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from node.config.values import Listen, ListenText, NetworkText, TextList

__all__ = ["ApiSettings"]


HostText = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_\[\]-]{1,255}$")]
"""A name or address with or without a port, as a browser sends it in Host."""


class ApiSettings(BaseModel):
    """The REST interface: where it listens and what it puts up with."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    listen: ListenText = Field(default=Listen("127.0.0.1", 8750), description="beyond this machine TLS is required")
    tls_cert: Path | None = Field(default=None, description="certificate chain, PEM")
    tls_key: Path | None = Field(default=None, description="its private key, PEM")
    plain_http: bool = Field(
        default=False,
        description="allow plain HTTP beyond this machine, behind a proxy that speaks TLS",
    )
    max_body_bytes: int = Field(default=1_000_000, ge=1_024, le=64_000_000, description="largest request body")
    max_parcel_bytes: int = Field(
        default=262_144,
        ge=1_024,
        le=16_000_000,
        description="largest sealed parcel at the inbox",
    )
    idle_timeout_s: int = Field(
        default=20, ge=1, le=30, description="silent, idle and slow-header connections are cut after this"
    )
    body_timeout_s: int = Field(default=15, ge=1, le=300, description="a request body must have arrived within this")
    max_connections: int = Field(default=512, ge=8, le=100_000, description="open connections in all")
    max_connections_per_address: int = Field(
        default=64,
        ge=4,
        le=100_000,
        description="open connections from one address",
    )
    open_calls_per_minute: int = Field(
        default=120, ge=1, le=1_000_000, description="calls without a token (inbox, pairing) from one address"
    )
    session_s: int = Field(
        default=43_200, ge=60, le=2_592_000, description="a browser's session ends after this many seconds"
    )
    hosts: Annotated[tuple[HostText, ...], *TextList] = Field(
        default=(),
        description="further addresses (name, or name:port) of the pages at which a wallet may sign in; those of"
        " node.public_url and of this machine's own interfaces are known",
    )
    pairing_networks: Annotated[tuple[NetworkText, ...], *TextList] = Field(
        default=(),
        description="gateway: networks whose homes may pair as well; this machine's own private ones always may",
    )
    trusted_proxies: Annotated[tuple[NetworkText, ...], *TextList] = Field(
        default=(),
        description="proxies whose X-Forwarded-For names the caller (without it a call from there is not local); name"
        " every one: one that adds no header looks like a caller where it stands",
    )

    @model_validator(mode="after")
    def _tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        if not self.listen.is_loopback and self.tls_cert is None and not self.plain_http:
            raise ValueError(
                f'listen = "{self.listen}" is reachable from outside: '
                "name tls_cert and tls_key, or set plain_http behind a proxy"
            )
        return self
