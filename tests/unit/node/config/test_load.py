"""Settings: layers, refusals with place and remedy (architecture.md, config; operations.md 2, config file)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config import InvalidConfig, LoadedConfig, Settings, effective, load_settings, sample
from node.errors import ExitCode

REGISTRY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
BASE = f'[chain]\nregistry = "{REGISTRY}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "wattpact.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, environ: dict[str, str] | None = None, **flags: object) -> LoadedConfig:
    dotted = {key.replace("__", "."): value for key, value in flags.items()}
    return load_settings(write(folder, text), environ=environ or {}, flags=dotted)


def problems(folder: Path, text: str, environ: dict[str, str] | None = None, **flags: object) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        load(folder, text, environ, **flags)
    assert caught.value.exit_code is ExitCode.CONFIG
    return [str(problem).replace(str(folder) + "/", "") for problem in caught.value.problems]


def test_flags_go_before_environment_before_file_before_defaults(folder: Path) -> None:
    text = BASE + '[log]\nlevel = "debug"\n[api]\nlisten = "127.0.0.1:1"\nmax_connections = 9\n'
    environ = {"WATTPACT_API_LISTEN": "127.0.0.1:2", "WATTPACT_LOG_LEVEL": "error"}
    loaded = load(folder, text, environ, api__listen="127.0.0.1:3")
    assert loaded.settings.api.listen.port == 3
    assert loaded.settings.log.level == "error"
    assert loaded.settings.api.max_connections == 9
    assert loaded.settings.api.body_timeout_s == 15
    assert str(loaded.origin("api.listen")) == "flag api.listen"
    assert str(loaded.origin("log.level")) == "environment WATTPACT_LOG_LEVEL"
    assert str(loaded.origin("api.max_connections")).endswith("wattpact.toml:7:1")
    assert str(loaded.origin("api.body_timeout_s")) == "default"


def test_all_errors_are_named_at_once_with_place_and_remedy(folder: Path) -> None:
    text = (
        '[node]\nroles = ["home", "gatway"]\n[chain]\nregistry = "0x12"\nrpc_url = "x"\n'
        "poll_interval_s = 0.1\n[steams]\n[streams]\nslot_seconds = 59\n"
    )
    found = problems(folder, text, {"WATTPACT_API_LISTN": "x", "WATTPACT_LOG_LEVEL": "loud"})
    assert "WATTPACT_API_LISTN: is not a known variable. Did you mean WATTPACT_API_LISTEN?" in found
    assert any(p.startswith("wattpact.toml:2:18: node.roles.1") and "Did you mean gateway?" in p for p in found)
    assert any(p.startswith("wattpact.toml:4:1: chain.registry must be 20 bytes") for p in found)
    assert "wattpact.toml:5:1: chain.rpc_url is not a known key. Did you mean rpc_urls?" in found
    assert any(p.startswith("wattpact.toml:6:1: chain.poll_interval_s") for p in found)
    assert "wattpact.toml:7:1: steams is not a known key. Did you mean streams?" in found
    assert any(p.startswith("wattpact.toml:9:1: streams.slot_seconds") for p in found)
    assert any(p.startswith("WATTPACT_LOG_LEVEL: log.level") for p in found)
    assert len(found) == 8


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[chain]\nregistry = 0x\n", "wattpact.toml:2:"),
        ('[chain]\nregistry = "a"\nregistry = "b"\n', "wattpact.toml:3:"),
        ("[chain\n", "wattpact.toml:1:"),
    ],
)
def test_a_syntax_error_names_its_line(folder: Path, text: str, place: str) -> None:
    (found,) = [p for p in problems(folder, text) if "TOML" in p]
    assert found.startswith(place)


def test_a_missing_file_and_a_missing_key_say_what_to_do(folder: Path) -> None:
    with pytest.raises(InvalidConfig, match="there is no such file"):
        load_settings(folder / "none.toml", environ={"WATTPACT_CHAIN_REGISTRY": REGISTRY})
    (found,) = problems(folder, "[node]\n")
    assert "chain is missing" in found


def test_text_that_is_not_utf8_is_an_error_not_a_traceback(folder: Path) -> None:
    path = folder / "wattpact.toml"
    path.write_bytes(b'[node]\nname = "\xff"\n')
    with pytest.raises(InvalidConfig, match="not UTF-8"):
        load_settings(path, environ={})


@pytest.mark.parametrize("key", ["node.passphrase", "broker.password"])
def test_secrets_come_from_environment_or_files_only(folder: Path, key: str) -> None:
    section, name = key.split(".")
    secret = "correct horse battery"
    in_file = problems(folder, BASE + f'[{section}]\n{name} = "{secret}"\n')
    as_flag = problems(folder, BASE, None, **{f"{section}__{name}": secret})
    for found in (*in_file, *as_flag):
        assert "is a secret" in found
        assert secret not in found
    variable = f"WATTPACT_{section}_{name}".upper()
    loaded = load(folder, BASE, {variable: secret})
    assert getattr(getattr(loaded.settings, section), name).get_secret_value() == secret
    assert secret not in repr(loaded)
    assert secret not in str(effective(loaded))


def test_a_password_inside_a_url_is_refused_in_the_file(folder: Path) -> None:
    (found,) = problems(folder, BASE + '[storage]\nurl = "postgresql+asyncpg://u:hidden@db/w"\n')
    assert "WATTPACT_STORAGE_URL" in found
    assert "hidden" not in found
    loaded = load(folder, BASE, {"WATTPACT_STORAGE_URL": "postgresql+asyncpg://u:hidden@db/w"})
    assert loaded.settings.database_url.endswith("@db/w")
    assert "hidden" not in str(effective(loaded))


def test_rpc_keys_in_urls_are_not_shown(folder: Path) -> None:
    loaded = load(folder, BASE, {"WATTPACT_CHAIN_RPC_URLS": "https://rpc.example/v3/0123456789abcdef,http://b:1"})
    assert loaded.settings.chain.rpc_urls == ("https://rpc.example/v3/0123456789abcdef", "http://b:1")
    assert "0123456789abcdef" not in str(effective(loaded))


def test_lists_in_the_environment_are_words_or_json(folder: Path) -> None:
    words = load(folder, BASE, {"WATTPACT_NODE_ROLES": "home, provider"})
    as_json = load(folder, BASE, {"WATTPACT_NODE_ROLES": '["home","provider"]'})
    assert words.settings.node.roles == as_json.settings.node.roles == ("home", "provider")
    (found,) = problems(folder, BASE, {"WATTPACT_NODE_ROLES": '["home",'})
    assert found.startswith("WATTPACT_NODE_ROLES: ")


def test_paths_in_the_file_are_relative_to_it(folder: Path) -> None:
    loaded = load(folder, BASE + '[meter]\nkind = "file"\ndevice = "t.txt"\n[api]\ntls_cert = "/c"\ntls_key = "k"\n')
    assert loaded.settings.meter.device == folder / "t.txt"
    assert loaded.settings.api.tls_cert == Path("/c")
    assert loaded.settings.node.data_dir == folder
    assert loaded.settings.database_url == f"sqlite+aiosqlite:///{folder}/wattpact.db"


def test_broker_users_have_absolute_hash_files_and_checked_rules(folder: Path) -> None:
    user = '[[broker.users]]\nname = "p"\npassword_hash_file = "p.hash"\nrules = ["{}"]\n'
    loaded = load(folder, BASE + user.format("read wattpact/v1/+/data"))
    assert loaded.settings.broker.users[0].password_hash_file == folder / "p.hash"
    for rule in ("read a/#/b", "delete a", "read a+/b", "read"):
        (found,) = problems(folder, BASE + user.format(rule))
        assert found.startswith("wattpact.toml:6:10: broker.users.0.rules.0 "), found
    twice = user.format("read a") + user.format("read a")
    (found,) = problems(folder, BASE + twice)
    assert "names a user twice" in found


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[api]\nlisten = "0.0.0.0:1"\n', "reachable from outside"),
        ('[api]\nlisten = "[::]:1"\n', "reachable from outside"),
        ('[api]\nlisten = "house.example:1"\n', "reachable from outside"),
        ('[api]\ntls_cert = "a"\n', "go together"),
        ('[api]\nlisten = "127.0.0.1:70000"\n', "host:port"),
        ('[meter]\nkind = "serial"\n', "needs device"),
        ('[streams]\ngenesis = "2026-01-01T00:00:00"\n', "offset from UTC"),
        ('[streams]\nnames = ["gas/1h", "gas/1h"]\n', "twice"),
        ('[broker]\nurl = "ftp://x"\n', "mqtt://"),
        ('[broker]\nca_file = "ca.pem"\n', "mqtts"),
        ('[node]\nroles = []\n', "at least 1 item"),
        ('[node]\noutbound_only = true\npublic_url = "http://h"\n', "remove one of them"),
        ('[api]\npairing_networks = ["192.168.1.7/24"]\n', "192.168.1.0/24"),
        ('[api]\ntrusted_proxies = [7]\n', "must be a network or one address"),
    ],
)  # fmt: skip
def test_contradictions_and_bad_values(folder: Path, text: str, complaint: str) -> None:
    (found,) = problems(folder, BASE + text)
    assert complaint in found
    assert "wattpact.toml:" in found


def test_tls_is_needed_beyond_loopback_only(folder: Path) -> None:
    """architecture.md, access: loopback unless told otherwise, TLS beyond it."""
    for listen in ("127.0.0.1:0", "localhost:1", "[::1]:1"):
        assert load(folder, BASE + f'[api]\nlisten = "{listen}"\n').settings.api.listen.is_loopback
    load(folder, BASE + '[api]\nlisten = "0.0.0.0:1"\ntls_cert = "a"\ntls_key = "b"\n')
    load(folder, BASE + '[api]\nlisten = "0.0.0.0:1"\nplain_http = true\n')


def test_an_embedded_broker_speaks_tls_beyond_loopback(folder: Path) -> None:
    """permissions.md 4: TLS by default outside loopback."""
    own = BASE + "[broker]\nembedded = true\n"
    load(folder, own)
    (found,) = problems(folder, own + 'listen = "0.0.0.0:1883"\n')
    assert "wattpact broker certs" in found
    load(folder, own + 'listen = "0.0.0.0:1883"\nplain_mqtt = true\n')
    load(folder, own + 'listen = "0.0.0.0:8883"\ntls_cert = "a"\ntls_key = "b"\nclient_ca_file = "c"\n')
    for text in ('tls_cert = "a"\n', 'key_file = "a"\n', 'client_ca_file = "a"\n', 'ca_file = "a"\n'):
        assert problems(folder, own + text), text


def test_finality_is_one_block_on_the_devnet_and_the_chains_own_elsewhere(folder: Path) -> None:
    """architecture.md, how one event travels: grants act at finality, devnet 1."""
    assert load(folder, BASE).settings.chain.finality == 1
    assert load(folder, BASE + "chain_id = 137\n").settings.chain.finality is None
    assert load(folder, BASE + "chain_id = 137\nfinality_depth = 20\n").settings.chain.finality == 20
    assert load(folder, BASE + 'finality_depth = "finalized"\n').settings.chain.finality is None
    (found,) = problems(folder, BASE + "finality_depth = 0\n")
    assert "at least 1" in found


def test_times_are_toml_dates_text_or_seconds(folder: Path) -> None:
    for value in ("2026-01-01T00:00:00Z", '"2026-01-01T00:00:00+00:00"', "1767225600"):
        assert load(folder, BASE + f"[streams]\ngenesis = {value}\n").settings.streams.genesis == 1_767_225_600


def test_settings_read_nothing_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTPACT_LOG_LEVEL", "error")
    settings = Settings.model_validate({"chain": {"registry": REGISTRY}})
    assert settings.log.level == "info"


def test_the_sample_is_valid_and_changes_nothing(folder: Path) -> None:
    """operations.md 2: the sample comes from the code; every default in it is the default."""
    plain = load(folder, BASE).settings
    loaded = load(folder, sample()).settings
    assert loaded.model_copy(update={"chain": plain.chain}) == plain
    uncommented = [
        line.removeprefix("# ") if " = " in line and not line.endswith('""') else line
        for line in sample().splitlines()
        if "[[" not in line and not line.startswith(("# name = \"prov", "# password_hash", "# rules"))
    ]  # fmt: skip
    every = load(folder, "\n".join(uncommented)).settings
    assert every.model_copy(update={"chain": plain.chain, "node": plain.node}) == plain
