"""The OpenAPI document: committed, current, and kept by the application under random requests."""

from __future__ import annotations

import json
from pathlib import Path

from holdfast.gateway import openapi

COMMITTED = Path(__file__).parents[3] / "docs/reference/openapi.json"


def test_committed_document_is_current():
    expected = openapi.text()
    sentence = "run: python -m holdfast.gateway.openapi --out docs/reference/openapi.json"
    assert COMMITTED.read_text(encoding="utf-8") == expected, sentence


def test_document_is_the_same_every_time():
    assert openapi.text() == openapi.text()
    assert json.loads(openapi.text())["openapi"].startswith("3.1")


def test_every_operation_answers_with_problems_and_needs_a_token():
    document = openapi.document()
    open_paths = {"/v1/health"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert operation.get("security", document["security"]) == ([] if path in open_paths else [{"bearer": []}])
            assert operation["summary"] and operation.get("description")


def test_openapi_is_written_to_a_file(tmp_path):
    openapi.main(["--out", str(tmp_path / "openapi.json")])
    assert json.loads((tmp_path / "openapi.json").read_text())["info"]["title"] == "Holdfast"
