"""Every setting of a node: its section, type, default, limits and the sentence that the reference prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from node.config.api import ApiSettings
from node.config.bids import BidsSettings
from node.config.retention import RetentionSettings
from node.config.settlement import MarketTermsSettings, SettlementSettings
from node.config.statements import StatementSettings
from node.config.values import (
    AddressText,
    BrokerUrl,
    Listen,
    ListenText,
    RpcUrl,
    TextList,
    Time,
    TopicRule,
    WebUrl,
)

__all__ = [
    "DEVNET_CHAIN_ID",
    "ApiSettings",
    "BrokerSettings",
    "BrokerUser",
    "ChainSettings",
    "LogSettings",
    "MeterSettings",
    "NodeSettings",
    "Role",
    "Settings",
    "StorageSettings",
    "StreamName",
    "StreamsSettings",
    "WebhookSettings",
]

DEVNET_CHAIN_ID: Final = 31337
Role = Literal["home", "gateway", "provider", "market", "community"]
StoreUrl = Annotated[str, Field(pattern=r"^(sqlite\+aiosqlite|postgresql\+asyncpg):")]
StreamName = Literal["electricity/1s", "electricity/15min", "gas/1h"]

# Marks a field that may come from the environment or from the file that a sibling names, never from the config file.
_SECRET: Final[dict[str, JsonValue]] = {"secret": True}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class NodeSettings(_Section):
    """Who this node is. Name, domain, contact and policy_url make the party card that others see."""

    data_dir: Path = Field(
        default=Path("~/.wattpact"),
        description="folder of keys, database and locks; by default the folder of the config file",
    )
    roles: Annotated[tuple[Role, ...], *TextList] = Field(
        default=("home",), min_length=1, description="what this node does: home, gateway, provider, market, community"
    )
    name: str = Field(default="Wattpact node", min_length=1, max_length=120, description="name on the party card")
    domain: str | None = Field(
        default=None, max_length=253, pattern=r"^[A-Za-z0-9.-]+$", description="domain on the party card"
    )
    contact: str | None = Field(
        default=None, max_length=200, description="e-mail address or page for questions, on the party card"
    )
    policy_url: WebUrl | None = Field(default=None, description="privacy policy, on the party card")
    public_url: WebUrl | None = Field(
        default=None, description="address under which other nodes reach this one; by default api.listen"
    )
    outbound_only: bool = Field(
        default=False,
        description="no other node can reach this one: pairing by QR code and sealed messages go over the broker",
    )
    passphrase_file: Path | None = Field(
        default=None, description="file with the passphrase of the keystore, readable by its owner only"
    )
    passphrase: SecretStr | None = Field(
        default=None, json_schema_extra=_SECRET, description="the passphrase itself; environment only"
    )

    @model_validator(mode="after")
    def _roles_once(self) -> Self:
        if len(set(self.roles)) != len(self.roles):
            raise ValueError("roles names a role twice")
        return self

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.outbound_only and self.public_url is not None:
            raise ValueError("outbound_only and public_url exclude each other: remove one of them")
        return self


class ChainSettings(_Section):
    """The EVM chain and the registry on it."""

    rpc_urls: Annotated[tuple[RpcUrl, ...], *TextList] = Field(
        default=("http://127.0.0.1:8545",),
        min_length=1,
        description="JSON-RPC nodes; the next is asked when one fails; ws and wss tell of new blocks at once",
    )
    chain_id: int = Field(
        default=DEVNET_CHAIN_ID, ge=1, lt=2**63, description="the node stops if an RPC node answers for another chain"
    )
    registry: AddressText = Field(description="address of the ConsentRegistry")
    deploy_block: int = Field(
        default=0,
        ge=0,
        description="block in which the registry was deployed; indexing starts there",
    )
    finality_depth: int | Literal["finalized"] | None = Field(
        default=None,
        description='blocks after which grants act, or "finalized"; by default 1 on the devnet, finalized elsewhere',
    )
    poll_interval_s: float = Field(default=1.0, ge=0.2, le=60, description="seconds between looks at the chain head")
    max_chain_silence_s: int = Field(
        default=120,
        ge=5,
        le=86_400,
        description="a writer publishes nothing when it has not seen the chain for so long",
    )
    max_skew_s: int = Field(
        default=120, ge=1, le=3_600, description="largest difference between this clock and the newest block"
    )
    relay_per_signer_day: int = Field(
        default=10_000,
        ge=0,
        description="messages of one signer that callers of the API may have this node send in a UTC day",
    )
    max_fee_gwei: int = Field(default=500, ge=1, description="highest fee per gas that a transaction offers")
    max_priority_fee_gwei: int = Field(default=50, ge=0, description="highest tip per gas that a transaction offers")
    low_balance_wei: int = Field(default=0, ge=0, description="the sender's balance below which the node warns")
    low_balance_transactions: int = Field(
        default=50, ge=0, description="the node warns when the sender can pay for fewer transactions than this"
    )

    @property
    def finality(self) -> int | None:
        """Number of blocks, or None for the chain's `finalized` tag."""
        if isinstance(self.finality_depth, int):
            return self.finality_depth
        return 1 if self.finality_depth is None and self.chain_id == DEVNET_CHAIN_ID else None

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if isinstance(self.finality_depth, int) and self.finality_depth < 1:
            raise ValueError('finality_depth must be at least 1, or "finalized"')
        if self.max_priority_fee_gwei > self.max_fee_gwei:
            raise ValueError("max_priority_fee_gwei exceeds max_fee_gwei")
        return self


class BrokerUser(_Section):
    """One user of the embedded broker. What no rule allows is denied."""

    name: str = Field(min_length=1, max_length=120, pattern=r"^[^\s:+#/]+$", description="MQTT user name")
    password_hash_file: Path = Field(
        description="file with the argon2 hash of the password; `wattpact broker hash` makes one"
    )
    rules: tuple[TopicRule, ...] = Field(default=(), description='what the user may do: "read wattpact/v1/+/data"')


class BrokerSettings(_Section):
    """The MQTT broker: an external one by url, or the embedded one."""

    embedded: bool = Field(default=False, description="run a broker inside this node")
    listen: ListenText = Field(default=Listen("127.0.0.1", 1883), description="where the embedded broker listens")
    http_listen: ListenText | None = Field(
        default=None, description="where the embedded broker takes channels over HTTP as well; none for nowhere"
    )
    url: BrokerUrl = Field(
        default="mqtt://127.0.0.1:1883", description="broker to connect to; mqtts or https beyond this machine"
    )
    username: str | None = Field(default=None, max_length=120, description="user at the broker")
    password_file: Path | None = Field(
        default=None, description="file with the password at the broker, readable by its owner only"
    )
    password: SecretStr | None = Field(
        default=None, json_schema_extra=_SECRET, description="the password itself; environment only"
    )
    ca_file: Path | None = Field(
        default=None, description="certificate authority of the broker, if not one that the system trusts"
    )
    cert_file: Path | None = Field(default=None, description="our client certificate, if the broker wants one")
    key_file: Path | None = Field(default=None, description="its private key")
    tls_cert: Path | None = Field(default=None, description="embedded broker: certificate chain, PEM")
    tls_key: Path | None = Field(default=None, description="embedded broker: its private key, PEM")
    client_ca_file: Path | None = Field(
        default=None, description="embedded broker: clients must show a certificate of this authority as well"
    )
    plain_mqtt: bool = Field(
        default=False,
        description="embedded broker: allow no TLS beyond this machine, in a network of its own",
    )
    users: Annotated[tuple[BrokerUser, ...], *TextList] = Field(default=(), description="users of the embedded broker")

    @model_validator(mode="after")
    def _tls(self) -> Self:
        for first, second in (("tls_cert", "tls_key"), ("cert_file", "key_file")):
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                raise ValueError(f"{first} and {second} go together")
        if self.client_ca_file is not None and self.tls_cert is None:
            raise ValueError("client_ca_file needs tls_cert and tls_key")
        open_ = [one for one in (self.listen, self.http_listen) if one is not None and not one.is_loopback]
        if self.embedded and open_ and self.tls_cert is None and not self.plain_mqtt:
            raise ValueError(
                f'"{open_[0]}" is reachable from outside: name tls_cert and tls_key '
                "(`wattpact broker certs` makes them), or set plain_mqtt"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [user.name for user in self.users]
        if len(set(names)) != len(names):
            raise ValueError("users names a user twice")
        for name in ("ca_file", "cert_file"):
            if getattr(self, name) is not None and not self.url.startswith(("mqtts:", "https:")):
                raise ValueError(f"{name} is of no use with a plain url; write mqtts:// or https://")
        return self


class MeterSettings(_Section):
    """The smart meter that a gateway reads."""

    kind: Literal["serial", "file", "none"] = Field(
        default="none", description="serial: P1 port; file: recorded telegrams; none: no meter"
    )
    device: Path | None = Field(default=None, description="serial device such as /dev/ttyUSB0, or the file")
    version: Literal["4", "5"] = Field(default="5", description="DSMR version, which decides the speed of the port")
    max_backlog_s: int = Field(
        default=0,
        ge=0,
        description="age of the oldest reading that a logger may replay; 0 takes none older than max_skew_s",
    )
    max_skew_s: int = Field(
        default=120,
        ge=1,
        le=3_600,
        description="largest difference between meter time and this clock",
    )

    @model_validator(mode="after")
    def _device_named(self) -> Self:
        if self.kind != "none" and self.device is None:
            raise ValueError(f'kind = "{self.kind}" needs device')
        return self


class StreamsSettings(_Section):
    """The streams that this gateway writes. Each has its own keys, so a grant of one never opens another."""

    names: Annotated[tuple[StreamName, ...], *TextList] = Field(
        default=("electricity/1s", "electricity/15min", "gas/1h"), min_length=1, description="which streams are written"
    )
    slot_seconds: int = Field(
        default=900, ge=60, le=86_400, description="grants begin and end on multiples of this from genesis"
    )
    genesis: Annotated[Time, Field(ge=0, lt=2**40)] | None = Field(
        default=None,
        description="begin of slot 0, time or seconds since 1970; by default the slot of the registration",
    )
    signed_envelopes: Annotated[tuple[StreamName, ...], *TextList] = Field(
        default=(),
        description="streams offered from now on of which every envelope is signed, not only checkpoints",
    )
    post_quantum_signatures: bool = Field(
        default=False,
        description="a second signature, ML-DSA-65, on commits and checkpoints of streams registered from now on",
    )

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("names lists a stream twice")
        return self


class StorageSettings(_Section):
    """The database."""

    url: str | None = Field(
        default=None,
        pattern=r"^(sqlite\+aiosqlite|postgresql\+asyncpg):",
        description="SQLAlchemy address; SQLite in data_dir by default; with a password only by environment",
    )
    replicas: Annotated[tuple[StoreUrl, ...], *TextList] = Field(
        default=(),
        description="addresses of further stores for private log, commits, capsules and data of own streams, best on"
        " another disk or machine; replica.db in data_dir by default",
    )


class WebhookSettings(_Section):
    """The event feed for other programs, and which addresses its webhooks may have."""

    allow: Annotated[tuple[WebUrl, ...], *TextList] = Field(
        default=(),
        description="origins that may be plain http or a private address, for example https://10.0.0.7:8443",
    )
    keep_days: int = Field(
        default=90,
        ge=1,
        le=3_650,
        description="events are kept for so long, and until every subscription and webhook has them",
    )


class LogSettings(_Section):
    """What the node writes about itself, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="least severity that is written",
    )
    format: Literal["json", "console"] = Field(
        default="console",
        description="json: one object per line; console: for people",
    )


class Settings(BaseSettings):
    """All sections. Use `load_settings`; this class itself reads no file and no environment."""

    model_config = SettingsConfigDict(
        env_prefix="WATTPACT_", env_nested_delimiter="_", env_nested_max_split=1, extra="forbid", frozen=True
    )

    node: NodeSettings = Field(default_factory=NodeSettings)
    chain: ChainSettings
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    meter: MeterSettings = Field(default_factory=MeterSettings)
    streams: StreamsSettings = Field(default_factory=StreamsSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    settlement: SettlementSettings = Field(default_factory=SettlementSettings)
    market: MarketTermsSettings = Field(default_factory=MarketTermsSettings)
    bids: BidsSettings = Field(default_factory=BidsSettings)
    statements: StatementSettings = Field(default_factory=StatementSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the loader hands over: it merges the sources itself to know where each value came from."""
        return (init_settings,)

    @property
    def database_url(self) -> str:
        """The database's address with the default filled in."""
        return self.storage.url or f"sqlite+aiosqlite:///{self.node.data_dir / 'wattpact.db'}"

    @property
    def replica_urls(self) -> tuple[str, ...]:
        """The second stores with the default filled in; there is always one."""
        return self.storage.replicas or (f"sqlite+aiosqlite:///{self.node.data_dir / 'replica.db'}",)
