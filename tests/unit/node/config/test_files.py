"""What is generated from the settings, and the files that hold secrets."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from node.config import (
    VERSION,
    LocalAccess,
    Settings,
    json_schema,
    keystore_passphrase,
    read_access,
    read_secret,
    reference,
    remove_access,
    sample,
    write_access,
)
from node.errors import ConfigError, NodeUnreachable, Refused

README = Path(__file__).resolve().parents[4] / "node" / "config" / "README.md"


def test_the_readme_holds_the_generated_reference() -> None:
    """operations.md 2: compared with the code, so neither goes stale."""
    assert reference() in README.read_text(encoding="utf-8")


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((README.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == VERSION


def test_the_sample_names_every_setting_but_no_secret() -> None:
    text = sample()
    for section, field in Settings.model_fields.items():
        assert f"[{section}]" in text
        model = field.annotation
        assert model is not None
        for key in getattr(model, "model_fields", {}):
            assert (f"\n# {key} = " in text or f"\n{key} = " in text) != (key in ("passphrase", "password")), key


def test_the_schema_offers_no_secret_and_allows_no_unknown_key() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    assert '"passphrase"' not in text
    assert '"password"' not in text
    for definition in schema["$defs"].values():
        assert definition["additionalProperties"] is False
    assert "registry" in schema["$defs"]["ChainSettings"]["required"]


def test_a_secret_file_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "pass"
    path.write_text("long secret\nnote\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="other users"):
        read_secret(path)
    path.chmod(0o600)
    assert read_secret(path).get_secret_value() == "long secret"
    settings = Settings.model_validate(
        {"chain": {"registry": "0x" + "11" * 20}, "node": {"passphrase_file": str(path)}}
    )
    found = keystore_passphrase(settings)
    assert found is not None
    assert found.get_secret_value() == "long secret"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 5_000])
def test_a_secret_file_must_hold_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pass"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        read_secret(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret(tmp_path / "none")


def test_the_access_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    """operations.md 2: a cookie file 0600 for local commands."""
    for token in ("first", "second"):
        path = write_access(tmp_path, LocalAccess("http://127.0.0.1:1", token, tmp_path / "cert.pem"))
    assert path.stat().st_mode & 0o777 == 0o600
    access = read_access(tmp_path)
    assert (access.url, access.token, access.certificate) == ("http://127.0.0.1:1", "second", tmp_path / "cert.pem")
    assert "second" not in repr(access)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    path.chmod(0o640)
    with pytest.raises(Refused, match="other users"):
        read_access(tmp_path)
    path.chmod(0o600)
    for damaged in ("", "[]", '{"version": 1}', '{"version": 1, "url":'):
        path.write_text(damaged)
        with pytest.raises(NodeUnreachable, match="damaged"):
            read_access(tmp_path)
    path.write_text('{"version": 2}')
    with pytest.raises(Refused, match="version"):
        read_access(tmp_path)
    remove_access(tmp_path)
    with pytest.raises(NodeUnreachable, match="No node is running"):
        read_access(tmp_path)
