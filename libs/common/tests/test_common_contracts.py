"""Old bytes with new code, new bytes with old schemas, and generated files that are not stale."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from holdfast.common.contracts import generate, registry
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.contracts.manifest import manifest_hash
from holdfast.common.contracts.samples import sample

GOLDEN = Path(generate.__file__).parent / "golden"
EVENTS = registry.all_events()


def by_type(event: type[PublicEvent]) -> str:
    return event.TYPE


@pytest.mark.parametrize("event", EVENTS, ids=by_type)
def test_new_code_reads_old_bytes(event: type[PublicEvent]) -> None:
    old = (GOLDEN / "samples" / f"{event.TYPE}.json").read_bytes()
    parsed = event.model_validate_json(old)
    assert json.loads(parsed.model_dump_json()).items() >= json.loads(old).items()


@pytest.mark.parametrize("event", EVENTS, ids=by_type)
def test_new_bytes_satisfy_the_old_schema(event: type[PublicEvent]) -> None:
    schema = json.loads((GOLDEN / f"{event.TYPE}.json").read_text())
    jsonschema.validate(json.loads(sample(event).model_dump_json()), schema)


def test_no_golden_schema_lost_its_event() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {event.TYPE for event in EVENTS}


@pytest.mark.parametrize("event", EVENTS, ids=by_type)
def test_unknown_fields_are_ignored(event: type[PublicEvent]) -> None:
    newer = json.loads(sample(event).model_dump_json()) | {"field_of_tomorrow": 1}
    assert event.model_validate(newer) == sample(event)


@pytest.mark.parametrize("event", EVENTS, ids=by_type)
def test_key_is_a_non_empty_string_and_topic_has_three_parts(event: type[PublicEvent]) -> None:
    assert sample(event).key()
    assert event.topic().count(".") == 2


def test_generated_files_are_current(tmp_path: Path) -> None:
    generate.write(tmp_path / "golden", tmp_path / "asyncapi.yaml")
    committed = generate.ROOT / "docs" / "reference" / "asyncapi.yaml"
    assert (tmp_path / "asyncapi.yaml").read_text() == committed.read_text()
    for fresh in (tmp_path / "golden").glob("*.json"):
        assert fresh.read_text() == (GOLDEN / fresh.name).read_text(), fresh.name


def test_asyncapi_references_resolve() -> None:
    document = yaml.safe_load((generate.ROOT / "docs" / "reference" / "asyncapi.yaml").read_text())

    def check(node: object) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                target = document
                for part in reference.removeprefix("#/").split("/"):
                    target = target[part]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(document)
    assert len(document["operations"]) == len(EVENTS)


def test_a_sample_keeps_its_first_bytes(tmp_path: Path) -> None:
    generate.write(tmp_path / "golden", tmp_path / "asyncapi.yaml")
    kept = next((tmp_path / "golden" / "samples").glob("*.json"))
    kept.write_text("{}")
    generate.write(tmp_path / "golden", tmp_path / "asyncapi.yaml")
    assert kept.read_text() == "{}"


def test_registry_refuses_a_type_of_another_producer() -> None:
    class Stray(PublicEvent):
        TYPE = "holdfast.extractor.page.staged.v1"

    with pytest.raises(ValueError, match="not a type of differ"):
        registry._check(Stray, "differ", {})


def test_sample_names_a_type_it_does_not_know() -> None:
    class Odd(BaseModel):
        blob: bytes

    with pytest.raises(TypeError, match="no sample"):
        sample(Odd)


class Page(NamedTuple):
    page_id: str
    rows: int
    sha256: str


def test_the_manifest_is_the_hash_of_its_lines_in_order() -> None:
    one, two = Page("p1", 2000, "aa"), Page("p2", 5, "bb")
    assert manifest_hash([one, two]) == hashlib.sha256(b"p1 2000 aa\np2 5 bb\n").hexdigest()
    assert manifest_hash([two, one]) != manifest_hash([one, two])
    assert manifest_hash([]) == hashlib.sha256(b"").hexdigest()
