"""The parser's tables are kept between starts, and whatever is wrong with them only costs time."""

from importlib import resources
from pathlib import Path

import pytest
from lark import Lark, Tree

from holdfast.orgsim.soql.compiled import parser_of

GRAMMAR = (resources.files("holdfast.orgsim.soql") / "grammar.lark").read_text("utf-8")
QUERY = "SELECT Id, COUNT(Name) n FROM Account WHERE NOT (Name LIKE 'a%' OR X__c IN (1, 2)) GROUP BY Id LIMIT 3"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tree() -> Tree[object]:
    return parser_of(GRAMMAR).parse(QUERY)


def test_what_was_kept_parses_as_what_was_made(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tree()
    (kept,) = cache.iterdir()
    monkeypatch.setattr(Lark, "__init__", None)  # nothing can be made any more
    assert tree() == made
    assert list(cache.iterdir()) == [kept]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04N."], ids=["empty", "garbage", "something else"])
def test_what_was_damaged_is_made_anew(cache: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tree()
    (kept,) = cache.iterdir()
    kept.write_bytes(content)
    assert tree() == made
    monkeypatch.setattr(Lark, "__init__", None)
    assert tree() == made, "and kept again"


def test_another_grammar_has_tables_of_its_own(cache: Path) -> None:
    tree()
    parser_of(GRAMMAR + "\n")
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_no_obstacle(cache: Path) -> None:
    cache.write_text("a file stands where the folder should be")
    assert tree().data == "start"
