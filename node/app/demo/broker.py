"""The demo's broker: ours, or Mosquitto when WATTPACT_DEMO_BROKER=mosquitto; the same users and rights in both."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Final

from node.app.demo.errors import DemoFailed
from node.app.demo.nodes import APP, DemoNode, write_toml
from node.app.demo.story import Story
from node.runtime.broker.mosquitto import mosquitto_files
from node.runtime.broker.settings import BrokerUser

__all__ = ["VARIABLE", "broker_command"]

VARIABLE: Final = "WATTPACT_DEMO_BROKER"
_TOPICS: Final = "wattpact/v1/+/"
_STREAM: Final = ("commits", "data", "checkpoints")
_READER: Final = (tuple(_TOPICS + kind for kind in (*_STREAM, "capsule/+", "replay/+")), (_TOPICS + "ask",))
_WRITER: Final = (
    tuple(_TOPICS + kind for kind in (*_STREAM, "ask")),
    tuple(_TOPICS + kind for kind in (*_STREAM, "capsule/+", "replay/+")),
)


def _rights(node: DemoNode) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(subscribe, publish). Stream ids are not known yet, so a level stands for any; keys alone decide who reads."""
    return _WRITER if node.role == "gateway" else _READER


async def broker_command(story: Story) -> Sequence[str]:
    """Writes the broker's files and returns how it is started."""
    host, port = story.tap.broker
    folder = story.out / "run" / "broker"
    folder.mkdir(mode=0o700)
    if os.environ.get(VARIABLE, "") == "mosquitto":
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise DemoFailed("Mosquitto is not installed.", remedy=f"Install it, or unset {VARIABLE}.")
        users = tuple(
            BrokerUser(
                node.name, node.hash_file.read_text().strip(), publish=_rights(node)[1], subscribe=_rights(node)[0]
            )
            for node in story.nodes.values()
        )
        config = mosquitto_files(users, folder, host=host, port=port).write(folder)
        if os.geteuid() == 0:
            # Started by root it becomes another user, who may not look into a folder that is root's alone.
            with config.open("a") as more:
                more.write("user root\n")
        return (program, "-c", str(config))
    tail = ""
    for node in story.nodes.values():
        subscribe, publish = _rights(node)
        rules = [f"read {topic}" for topic in subscribe] + [f"write {topic}" for topic in publish]
        listed = ", ".join(f'"{rule}"' for rule in rules)
        tail += (
            f'[[broker.users]]\nname = "{node.name}"\npassword_hash_file = "{node.hash_file}"\nrules = [{listed}]\n\n'
        )
    sections: dict[str, dict[str, object]] = {
        "chain": {"registry": story.watch.registry, "rpc_urls": [story.devnet.url]},
        "broker": {"embedded": True, "listen": f"{host}:{port}"},
    }
    config = write_toml(folder / "wattpact.toml", sections, "\n" + tail)
    return (*APP, "--config", str(config), "broker", "run")
