"""The table that heads a service's README names the events, tables and settings that the code has, and no other."""

import re
from pathlib import Path

import pytest

from holdfast.common.contracts.registry import all_events

SERVICES = Path(__file__).parents[3] / "services"
EVENTS = {event.__name__: event.TYPE for event in all_events()}
named = pytest.mark.parametrize("service", sorted(path.name for path in SERVICES.iterdir() if path.is_dir()))


def short(event_type: str) -> str:
    """`holdfast.scheduler.run.requested.v1` as READMEs write it."""
    return ".".join(event_type.split(".")[2:4])


def row(service: str, title: str) -> set[str]:
    """What a row of the table names."""
    found = re.search(rf"^\| \*\*{title}\*\* \| (.+) \|$", (SERVICES / service / "README.md").read_text(), re.MULTILINE)
    return set(re.findall(r"`([^`]+)`", found.group(1))) if found else set()


def sources(service: str, pattern: str) -> str:
    return "\n".join(path.read_text() for path in (SERVICES / service / "holdfast").rglob(pattern))


@named
def test_what_a_service_consumes_is_named(service: str) -> None:
    heard = set(re.findall(r"bus\.consume\((\w+),", sources(service, "*.py")))
    assert row(service, "Consumes") == {short(EVENTS[name]) for name in heard}


@named
def test_what_a_service_publishes_is_named(service: str) -> None:
    assert row(service, "Publishes") == {short(kind) for kind in EVENTS.values() if kind.split(".")[1] == service}


@named
def test_the_tables_of_a_service_are_named(service: str) -> None:
    made = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", sources(service, "*.sql")))
    assert made <= row(service, "Tables") <= made | {"events", service}


@named
def test_the_settings_of_a_service_are_named(service: str) -> None:
    taken = re.findall(rf"^    ({service}_\w+): ", sources(service, "settings.py"), re.MULTILINE)
    written = row(service, "Settings")
    assert "settings.py" in written or {f"HOLDFAST_{name.upper()}" for name in taken} <= written
