"""CloudEvents attributes as Kafka headers (binary mode), and our own beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from holdfast.common.contracts.base import PublicEvent
from holdfast.common.meta import Meta

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:holdfast:public-event")


class Envelope(NamedTuple):
    """What the headers of a message say about it."""

    id: UUID
    type: str
    key: str
    number: int
    meta: Meta


def message_id(topic: str, key: str, number: int) -> UUID:
    """Same message, same id: also when it is sent again, or from another topic's copy."""
    return uuid5(_NAMESPACE, f"{topic}/{key}/{number}")


def event_headers(event: PublicEvent, meta: Meta, now: datetime | None = None) -> dict[str, str]:
    """Headers that are known when the event is written; its number and id follow with the row."""
    service = event.TYPE.split(".")[1]
    headers = {
        "ce_specversion": "1.0",
        "ce_type": event.TYPE,
        "ce_source": f"/holdfast/{service}",
        "ce_subject": event.key(),
        "ce_time": (now or datetime.now(UTC)).isoformat(),
        "content-type": "application/json",
        "correlation_id": str(meta.correlation_id),
        "actor": meta.actor,
    }
    if meta.causation_id is not None:
        headers["causation_id"] = str(meta.causation_id)
    return headers


def to_kafka(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Headers as the Kafka client takes them."""
    return [(name, value.encode()) for name, value in headers.items()]


def parse(headers: Iterable[tuple[str, bytes]]) -> Envelope:
    """Read a message's headers.

    Raises:
        ValueError: One is missing or unreadable.
    """
    values = {name: value.decode("utf-8") for name, value in headers if value is not None}
    missing = {"ce_id", "ce_type", "ce_subject", "ce_sequence", "correlation_id"} - values.keys()
    if missing:
        raise ValueError(f"headers are missing: {', '.join(sorted(missing))}")
    if "\0" in values["ce_subject"] + values["ce_type"]:
        raise ValueError("a header holds a NUL, which Postgres cannot")
    event_id = UUID(values["ce_id"])
    meta = Meta(UUID(values["correlation_id"]), event_id, values.get("actor", "unknown"))
    return Envelope(event_id, values["ce_type"], values["ce_subject"], int(values["ce_sequence"]), meta)
