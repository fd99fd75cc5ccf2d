"""The page on what an org can do to a backup names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/salesforce-faults.md").read_text()
TEST = re.compile(r"`((?:tests|services|libs)/\S+\.py)::(\w+)`")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize(("file", "test"), TEST.findall(PAGE), ids=[test for _, test in TEST.findall(PAGE)])
def test_the_page_names_a_test_that_exists(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_row_names_one() -> None:
    assert len(ROWS) > 20
    assert [row for row in ROWS if not TEST.search(row)] == []
    assert all(row.count(".py") == len(TEST.findall(row)) for row in ROWS), "in full: the file, two colons, the test"
