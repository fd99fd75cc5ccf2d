"""Rows of one object: an immutable base, an overlay, and frames that keep their moment."""

import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from holdfast.orgsim.store import chunks
from holdfast.orgsim.store.table import Table


@pytest.fixture
def table() -> Table:
    made = Table(["Id", "Name"])
    made.load(pl.DataFrame({"Id": ["a3", "a1"], "Name": ["three", "one"]}))
    return made


def test_a_change_replaces_its_row_once_and_frames_stay_in_id_order(table: Table) -> None:
    table.put("a1", {"Id": "a1", "Name": "uno"})
    table.put("a2", {"Id": "a2", "Name": None})
    assert table.frame().rows() == [("a1", "uno"), ("a2", None), ("a3", "three")]
    table.put("a1", {"Id": "a1", "Name": "ein"})
    assert table.frame().rows() == [("a1", "ein"), ("a2", None), ("a3", "three")]
    assert len(table) == 3


def test_a_removed_row_is_gone_before_and_after_folding(table: Table) -> None:
    table.remove("a1")
    assert table.get("a1") is None
    assert table.frame()["Id"].to_list() == ["a3"]
    assert table.get("a1") is None


def test_a_frame_handed_out_does_not_move(table: Table) -> None:
    before = table.frame()
    table.put("a1", {"Id": "a1", "Name": "changed"})
    table.load(pl.DataFrame({"Id": ["a0"], "Name": ["zero"]}))
    assert before.rows() == [("a1", "one"), ("a3", "three")]
    assert table.frame().rows() == [("a0", "zero"), ("a1", "changed"), ("a3", "three")]


def test_get_answers_with_a_row_of_its_own(table: Table) -> None:
    row = table.get("a1")
    assert row is not None
    row["Name"] = "spoilt"
    assert table.get("a1") == {"Id": "a1", "Name": "one"}
    assert table.get("a2") is None


def test_the_version_moves_with_changes_and_not_with_reading(table: Table) -> None:
    first = table.version
    table.put("a1", {"Id": "a1", "Name": "uno"})
    changed = table.version
    table.frame()
    assert first < changed == table.version


def test_a_new_column_is_empty_in_older_rows(table: Table) -> None:
    table.put("a2", {"Id": "a2", "Name": "two"})
    table.add_columns(["Fax", "Name"])
    assert table.frame().rows() == [("a1", "one", None), ("a2", "two", None), ("a3", "three", None)]


IDS = st.integers(0, 40).map(lambda n: f"a{n:02d}")
TEXT = st.none() | st.sampled_from(["x", "y", "z"])
ROWS = st.lists(st.tuples(IDS, TEXT), max_size=12, unique_by=lambda row: row[0])


class TableMachine(RuleBasedStateMachine):
    """A table against a dict, whatever the order of changes and reads. Chunks are tiny, so that many are made."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(["Id", "Name"])
        self.model: dict[str, str | None] = {}
        self.handed_out: list[tuple[pl.DataFrame, list[tuple[str, str | None]]]] = []

    def _expected(self) -> list[tuple[str, str | None]]:
        return sorted(self.model.items())

    @rule(record_id=IDS, name=TEXT)
    def put(self, record_id: str, name: str | None) -> None:
        self.table.put(record_id, {"Id": record_id, "Name": name})
        self.model[record_id] = name

    @rule(record_id=IDS)
    def remove(self, record_id: str) -> None:
        self.table.remove(record_id)
        self.model.pop(record_id, None)

    @rule(rows=ROWS)
    def put_rows(self, rows: list[tuple[str, str | None]]) -> None:
        self.table.put_rows(pl.DataFrame(rows, schema={"Id": pl.String, "Name": pl.String}, orient="row"))
        self.model.update(rows)

    @rule(ids=st.lists(IDS, max_size=8))
    def remove_rows(self, ids: list[str]) -> None:
        self.table.remove_rows(pl.Series(ids, dtype=pl.String))
        for record_id in ids:
            self.model.pop(record_id, None)

    @rule(rows=ROWS)
    def load(self, rows: list[tuple[str, str | None]]) -> None:
        new = [row for row in rows if row[0] not in self.model]
        self.table.load(pl.DataFrame(new, schema={"Id": pl.String, "Name": pl.String}, orient="row"))
        self.model.update(new)

    @rule(record_id=IDS)
    def get(self, record_id: str) -> None:
        expected = {"Id": record_id, "Name": self.model[record_id]} if record_id in self.model else None
        assert self.table.get(record_id) == expected

    @rule(ids=st.lists(IDS, max_size=8))
    def fetch(self, ids: list[str]) -> None:
        found = self.table.fetch(pl.Series(ids, dtype=pl.String))
        assert found.rows() == [(i, self.model[i]) for i in ids if i in self.model]

    @rule(first=IDS, before=st.none() | IDS)
    def span(self, first: str, before: str | None) -> None:
        wanted = [row for row in self._expected() if first <= row[0] and (before is None or row[0] < before)]
        assert self.table.span(first, before).rows() == wanted

    @rule(values=st.lists(st.sampled_from(["x", "y", "w"]), max_size=2))
    def where_in(self, values: list[str]) -> None:
        found = self.table.where_in("Name", pl.Series(values, dtype=pl.String))
        assert found.rows() == [row for row in self._expected() if row[1] in values]

    @rule()
    def read(self) -> None:
        frame = self.table.frame()
        assert frame.rows() == self._expected() == self.table.scan().collect().rows()
        assert len(self.table) == len(self.model)
        self.handed_out.append((frame, self._expected()))

    def teardown(self) -> None:
        for frame, expected in self.handed_out:
            assert frame.rows() == expected


@pytest.fixture(autouse=True)
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 4)


TestTableMachine = TableMachine.TestCase
TestTableMachine.settings = settings(max_examples=25, stateful_step_count=25)


def test_a_span_that_ends_before_it_begins_is_empty() -> None:
    table = Table(["Id"])
    table.load(pl.DataFrame({"Id": ["a00", "a01", "a02", "a03"]}))
    assert table.span("a02", "a01").rows() == []
    assert table.span("a09", "a01").rows() == []
