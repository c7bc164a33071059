"""Part 1: `docker/` has one image (non-root, health check), its steps are scripts that are run here, and a unit.

Building the image itself needs an image engine and is not done here: every step of it is.
"""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from node.api import ApiServer
from node.config import ACCESS_NAME, ApiSettings, LocalAccess, load_settings, write_access
from node.errors import ExitCode
from tests.unit.node.api.serving import served

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
STEPS = ("health", "install", "user")
EMPTY = "0x" + "00" * 20


PAGES = """
import asyncio, re
from aiohttp import test_utils, web
from node.web import page_routes

async def main():
    app = web.Application()
    app.add_routes(page_routes())
    async with test_utils.TestClient(test_utils.TestServer(app)) as client:
        wanted, seen = ["/"], set()
        for path in wanted:
            answer = await client.get(path)
            assert answer.status == 200, path
            seen.add(path)
            text = await answer.text()
            found = re.findall(r'(?:src|href)="(pages/[^"]+)"', text) + re.findall(r'from "[.]/([a-z]+[.]js)"', text)
            wanted += {"/pages/" + name.removeprefix("pages/") for name in found} - set(wanted)
        assert len(seen) > 15, seen

asyncio.run(main())
"""


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, rest) with continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def last_stage() -> list[tuple[str, str]]:
    lines = dockerfile()
    start = max(index for index, (name, _) in enumerate(lines) if name == "FROM")
    return lines[start:]


def environment_of(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split())


# Steps


@pytest.mark.parametrize("step", STEPS)
def test_steps_are_executable_and_are_shell(step: str) -> None:
    path = DOCKER / "steps" / step
    assert path.stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    assert "set -eu" in path.read_text()


@pytest.mark.long
def test_the_install_step_makes_an_installation_that_stands_alone(tmp_path: Path) -> None:
    """Takes a minute: every pinned package is installed anew, from the lock with its hashes."""
    prefix = tmp_path / "opt"
    before = {path.name for path in ROOT.iterdir()}
    subprocess.run([DOCKER / "steps" / "install", prefix], check=True, cwd=tmp_path)
    assert {path.name for path in ROOT.iterdir()} <= before | {"build"}
    python, program = prefix / "bin" / "python", prefix / "bin" / "wattpact"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def output(*command: str | Path) -> str:
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
        return done.stdout

    assert json.loads(output(program, "version", "--json"))["name"] == "wattpact"
    where = "import node, keys, channels, contracts; print(*[m.__path__[0] for m in (node, keys, channels, contracts)])"
    assert all(path.startswith(str(prefix)) for path in output(python, "-c", where).split())
    # What is no Python has come along: the contract's code and the migrations of the database.
    output(python, "-c", "from contracts.artifact import verify_runtime_code")
    # And so have the pages, which the installed node serves.
    output(python, "-c", PAGES)
    config = tmp_path / "wattpact.toml"
    config.write_text(output(program, "config", "sample"))
    output(program, "--config", config, "config", "check")
    leaked = [path for path in prefix.rglob("*.pth") if str(ROOT) in path.read_text()]
    assert not leaked


def health(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(DOCKER / "steps" / "health"), *arguments]
    path = os.pathsep.join((str(Path(sys.executable).parent), "/usr/bin", "/bin"))
    variables = {"PATH": path, "http_proxy": "http://127.0.0.1:9", **environment}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=180, env=variables)


def test_the_health_step_asked_of_something_that_speaks_no_http_says_not_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=_answer_nonsense, args=(listener,))
        answering.start()
        found = health(f"http://127.0.0.1:{listener.getsockname()[1]}")
        answering.join()
    assert found.returncode == 1
    assert found.stderr.startswith("not alive")


def _answer_nonsense(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1_000)
        connection.sendall(b"nonsense\r\n\r\n")


async def test_the_health_step_asks_a_running_node(tmp_path: Path) -> None:
    async with served() as running:
        assert (await asyncio.to_thread(health, running.server.url)).returncode == 0
        write_access(tmp_path, LocalAccess(running.server.url, "token"))
        found = await asyncio.to_thread(lambda: health(WATTPACT_NODE_DATA_DIR=str(tmp_path)))
        assert found.returncode == 0, found.stderr
        # Alive is not ready: a chain that is down is no reason to restart the node.
        running.node.broken = True
        assert (await asyncio.to_thread(health, running.server.url)).returncode == 0
        url = running.server.url
    found = await asyncio.to_thread(health, url)
    assert found.returncode == 1
    assert "not alive" in found.stderr


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """`own.pem`, `own.key` and another pair, in a folder."""
    for name in ("own", "other"):
        words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        files = ("-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem")
        subprocess.run(["openssl", *words, "-subj", f"/CN={name}", *files], check=True, capture_output=True)
    return tmp_path


async def test_the_health_step_trusts_the_nodes_own_certificate_and_no_other(certificates: Path) -> None:
    tmp_path = certificates
    settings = ApiSettings.model_validate(
        {"listen": "127.0.0.1:0", "tls_cert": tmp_path / "own.pem", "tls_key": tmp_path / "own.key"}
    )
    async with served(settings) as running:
        assert running.server.url.startswith("https://")
        for name, code in (("own", 0), ("other", 1)):
            write_access(tmp_path, LocalAccess(running.server.url, "token", tmp_path / f"{name}.pem"))
            found = await asyncio.to_thread(lambda: health(WATTPACT_NODE_DATA_DIR=str(tmp_path)))
            assert found.returncode == code, (name, found.stderr)


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"url": 5, "certificate": null}', '{"url": "nonsense"}'])
def test_the_health_step_without_a_usable_access_file_says_not_alive(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / ACCESS_NAME).write_text(text)
    found = health(WATTPACT_NODE_DATA_DIR=str(tmp_path))
    assert found.returncode == 1
    assert found.stderr.startswith("not alive")


# Image


def test_the_image_runs_as_a_user_without_rights_and_knows_its_health() -> None:
    stage = last_stage()
    by_name: dict[str, list[str]] = {}
    for name, rest in stage:
        by_name.setdefault(name, []).append(rest)
    assert by_name["USER"] == ["10001:10001"]
    after_user = [name for name, _ in stage[[name for name, _ in stage].index("USER") :]]
    assert not {"RUN", "COPY", "ADD"} & set(after_user)
    assert "/usr/local/lib/wattpact/health" in by_name["HEALTHCHECK"][0]
    assert "10001" in (DOCKER / "steps" / "user").read_text()
    assert by_name["STOPSIGNAL"] == ["SIGTERM"]


def test_the_image_has_no_secrets_and_copies_only_what_was_built() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    assert not re.search(r"(?i)passphrase|password|secret|token|mnemonic|private", text)
    assert not [rest for name, rest in dockerfile() if name == "ARG"]
    copies = [rest for name, rest in last_stage() if name == "COPY"]
    assert all("--from=build" in rest or rest.startswith("docker/steps/") for rest in copies)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "node_modules"} <= set(ignored)


def test_the_images_variables_and_port_are_those_of_the_settings() -> None:
    [text] = [rest for name, rest in last_stage() if name == "ENV"]
    variables = environment_of(text)
    settings = load_settings(None, environ=variables, flags={"chain.registry": EMPTY}).settings
    assert settings.node.data_dir == Path("/data")
    assert [rest for name, rest in last_stage() if name == "EXPOSE"] == [str(settings.api.listen.port)]
    assert ("VOLUME", "/data") in last_stage()


def test_the_images_command_is_one_of_ours() -> None:
    """`run` without a config would end with exit code 3, a misspelled command with 2."""
    found = {name: json.loads(rest) for name, rest in last_stage() if name in ("ENTRYPOINT", "CMD")}
    assert found["ENTRYPOINT"] == ["wattpact"]
    assert command(*found["CMD"], "--help").returncode == 0


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WATTPACT_")}
    return subprocess.run(
        [sys.executable, "-m", "node.app", *words], check=False, capture_output=True, text=True, cwd=ROOT,
        env={**kept, **environment},
    )  # fmt: skip


# Compose


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return document


def test_the_compose_file_parses_and_every_service_is_confined() -> None:
    services = compose()["services"]
    assert set(services) == {"broker", "home", "gateway"}
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert not service.get("privileged")
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    sources = {entry["source"] for service in services.values() for entry in service.get("secrets", ())}
    assert sources == set(compose()["secrets"])
    named = {volume.split(":")[0] for service in services.values() for volume in service["volumes"]}
    assert {volume for volume in named if not volume.startswith(".")} == set(compose()["volumes"])


@pytest.mark.parametrize("name", ["broker", "home", "gateway"])
def test_the_variables_of_each_service_are_settings_of_ours(tmp_path: Path, name: str) -> None:
    """An unknown WATTPACT_ variable is an error of the config: a wrong one would keep the container from starting."""
    service = compose()["services"][name]
    variables = {"WATTPACT_NODE_DATA_DIR": str(tmp_path), **service["environment"]}
    settings = load_settings(None, environ=variables, flags={"chain.registry": EMPTY}).settings
    if name == "broker":
        assert settings.broker.listen.port == 1883
        assert command(*service["command"], "--help").returncode == 0
    else:
        published = int(service["ports"][0].rpartition(":")[2])
        assert settings.api.listen.port == published == ApiSettings().listen.port
        assert settings.broker.url == "mqtt://broker:1883"
        assert settings.node.passphrase_file == Path("/run/secrets") / service["secrets"][0]["target"]


async def test_the_listener_of_the_compose_file_can_be_opened() -> None:
    variables = compose()["services"]["home"]["environment"]
    settings = load_settings(
        None, environ=variables, flags={"chain.registry": EMPTY, "api.listen": "0.0.0.0:0"}
    ).settings
    async with served(settings.api) as running:
        assert isinstance(running.server, ApiServer)
        assert (await asyncio.to_thread(health, running.server.url)).returncode == 0


# Unit


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DOCKER / "wattpact.service")
    return parser


def test_the_unit_starts_a_command_of_ours_without_rights() -> None:
    service = unit()["Service"]
    words = service["ExecStart"].split()
    assert words[0] == "/opt/wattpact/bin/wattpact"
    assert command(*words[1:], "--help").returncode == 0
    assert service["User"] not in ("", "root")
    for key in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "ProtectKernelModules"):
        assert service[key] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["StateDirectoryMode"] == "0700"


def test_the_unit_does_not_restart_what_only_a_person_can_mend() -> None:
    """Exit codes as in architecture.md."""
    codes = {int(text) for text in unit()["Service"]["RestartPreventExitStatus"].split()}
    assert codes == {ExitCode.USAGE, ExitCode.CONFIG, ExitCode.REFUSED, ExitCode.NEEDS_PERSON}


def test_the_unit_passes_systemds_own_check(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("EXCLUDED: systemd-analyze is not installed, so the unit was read but not checked by systemd")
    program = tmp_path / "wattpact"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / "wattpact.service"
    path.write_text((DOCKER / "wattpact.service").read_text().replace("/opt/wattpact/bin/wattpact", str(program)))
    found = subprocess.run([analyze, "verify", "--man=no", path], check=False, capture_output=True, text=True)
    ours = [line for line in found.stderr.splitlines() if "wattpact" in line]
    assert not ours, ours
    assert found.returncode == 0, found.stderr
    path.write_text(path.read_text() + "\n[Service]\nNoSuchKey=1\nProtectSystem=nonsense\n")
    broken = subprocess.run([analyze, "verify", "--man=no", path], check=False, capture_output=True, text=True)
    assert "NoSuchKey" in broken.stderr
