"""What node/runtime/broker/engine.py takes for granted about amqtt: the names and the order it overrides."""

from __future__ import annotations

import inspect

from amqtt.adapters import ReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session

BROKER = (
    "_authenticate",
    "_broadcast_message",
    "_cleanup_session",
    "_client_message_loop",
    "_del_subscription",
    "_delete_session",
    "_get_handler",
    "_handle_message_delivery",
    "_initialize_client_session",
    "_publish_retained_messages_for_subscription",
    "_publish_session_retained_messages",
    "_topic_filtering",
    "add_subscription",
    "external_connected",
    "retain_message",
    "shutdown",
)
HANDLER = (
    "_send_packet",
    "handle_connection_closed",
    "handle_puback",
    "handle_publish",
    "init_from_connect",
    "start",
    "stop",
)


def test_what_is_overridden_exists() -> None:
    for name in BROKER:
        assert inspect.iscoroutinefunction(getattr(Broker, name)) or name in ("_del_subscription", "_get_handler"), name
    for name in HANDLER:
        assert callable(getattr(BrokerProtocolHandler, name)), name
    assert {"read", "feed_eof"} <= set(ReaderAdapter.__abstractmethods__)
    assert callable(StreamWriterAdapter.close)


def test_a_session_carries_our_attributes() -> None:
    session = Session()
    assert session.attributes == {}
    assert not session.clean_session


def test_what_is_waited_for_happens_in_this_order() -> None:
    """`_publish_session_retained_messages` is called once per connection, after the CONNACK and before the loop."""
    source = inspect.getsource(Broker._handle_client_session)
    steps = (
        "_authenticate",
        "mqtt_connack_authorize",
        "handler.start()",
        "_publish_session_retained",
        "_client_message_loop",
    )
    places = [source.index(step) for step in steps]
    assert places == sorted(places)
