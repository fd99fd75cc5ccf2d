"""The AsyncAPI 3 document of all public events."""

from __future__ import annotations

import json
from collections import defaultdict
from inspect import getdoc
from typing import Any

from holdfast.common.contracts.base import PublicEvent
from holdfast.common.contracts.registry import all_events
from holdfast.common.contracts.samples import sample

_SCHEMAS = "#/components/schemas/{model}"
HEADERS = {
    "ce_specversion": "`1.0`.",
    "ce_id": "UUID; the same when a message is sent again. Drop what you have seen.",
    "ce_type": "The event's type, with its major version.",
    "ce_source": "`/holdfast/<service>`.",
    "ce_subject": "The subject's id, equal to the message key.",
    "ce_time": "When it was written, RFC 3339.",
    "ce_sequence": "Counts the messages of this topic and key from 1, without gaps.",
    "content-type": "`application/json`.",
    "correlation_id": "UUID shared by everything that follows from one request.",
    "causation_id": "UUID of the event that led to this one; absent for the first.",
    "actor": "Who asked: `user:<id>`, `token:<id>` or `service:<name>`.",
}


def document() -> dict[str, Any]:
    """The whole document, in a stable order."""
    by_topic: dict[str, list[type[PublicEvent]]] = defaultdict(list)
    for event in all_events():
        by_topic[event.topic()].append(event)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Holdfast events",
            "version": "1",
            "description": (
                "What Holdfast says on Kafka. Delivery is at least once, in order per key. A topic can be "
                "rebuilt: it is transport, not truth. Unknown fields must be ignored; a change that old "
                "readers cannot follow gets a new version in the type."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, events) for topic, events in by_topic.items()},
        "operations": {event.TYPE: _operation(event) for events in by_topic.values() for event in events},
        "components": _components(),
    }


def _channel(topic: str, events: list[type[PublicEvent]]) -> dict[str, Any]:
    return {
        "address": topic,
        "messages": {event.TYPE: {"$ref": f"#/components/messages/{event.TYPE}"} for event in events},
    }


def _operation(event: type[PublicEvent]) -> dict[str, Any]:
    channel = f"#/channels/{event.topic()}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{event.TYPE}"}],
    }


def _components() -> dict[str, Any]:
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for event in all_events():
        schema = event.model_json_schema(mode="serialization", ref_template=_SCHEMAS)
        schemas |= schema.pop("$defs", {})
        schema.pop("description", None)
        schemas[event.__name__] = schema
        messages[event.TYPE] = _message(event)
    headers = {"type": "object", "properties": {name: _header(text) for name, text in HEADERS.items()}}
    return {"messages": messages, "schemas": {"Headers": headers, **dict(sorted(schemas.items()))}}


def _message(event: type[PublicEvent]) -> dict[str, Any]:
    return {
        "name": event.TYPE,
        "title": event.__name__,
        "summary": " ".join((getdoc(event) or "").split()),
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "examples": [{"payload": json.loads(sample(event).model_dump_json())}],
    }


def _header(text: str) -> dict[str, str]:
    return {"type": "string", "description": text}
