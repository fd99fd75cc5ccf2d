"""The page on what an org can do to a backup names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMED = re.findall(r"`((?:tests|services|libs)/\S+\.py)::(\w+)`", (ROOT / "docs/salesforce-faults.md").read_text())


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_the_page_names_a_test_that_exists(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_row_names_one() -> None:
    rows = [line for line in (ROOT / "docs/salesforce-faults.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) - 1 == len(NAMED) > 20
