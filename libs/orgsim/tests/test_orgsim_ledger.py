"""The ledger's file: whole lines while it is written, and the org of any moment from it alone."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ledger import book, temporary
from holdfast.orgsim.ledger.replay import LEDGER_FILE, snapshot
from holdfast.orgsim.main import app
from holdfast.orgsim.org import Org, OrgSettings
from holdfast.orgsim.saving.given import given_text
from holdfast.orgsim.saving.saver import Saver
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.store import loading

OBJECTS = ("Account", "Contact")
numbers = st.integers(0, 30)
action = st.one_of(
    st.tuples(st.just("insert"), numbers),
    st.tuples(st.just("update"), numbers, numbers),
    st.tuples(st.just("delete"), st.lists(numbers, min_size=1, max_size=4)),
    st.tuples(st.just("undelete"), numbers),
    st.tuples(st.just("merge"), numbers, numbers),
    st.tuples(st.just("bulk"), st.integers(1, 6)),
    st.tuples(st.just("bulk_update"), st.lists(numbers, min_size=1, max_size=6)),
    st.tuples(st.just("hard"), st.lists(numbers, min_size=1, max_size=3)),
    st.tuples(st.just("load"), st.integers(1, 5)),
    st.tuples(st.just("undone"), numbers),
    st.tuples(st.just("widen"), numbers),
)


class Story:
    """Does random things to an org, one a second, and remembers what it answered after each."""

    def __init__(self, folder: Path) -> None:
        self.org = Org(OrgSettings(client_secret="secret", ledger_folder=folder))
        self.org.clock.set(datetime(2026, 1, 1, tzinfo=UTC), frozen=True)
        self.writer = Saver(self.org, self.org.admin, "test")
        self.account, self.contact = (self.org.schema.objects[name] for name in OBJECTS)
        self.ids: list[str] = []
        self.moments: list[tuple[datetime, dict[str, pl.DataFrame]]] = []

    def do(self, name: str, *arguments) -> None:
        self.org.clock.advance(timedelta(seconds=1))
        with suppress(ApiError):
            getattr(self, name)(*arguments)
        tables = {n: self.org.tables[n].frame() for n in OBJECTS if n in self.org.tables and len(self.org.tables[n])}
        self.moments.append((self.org.clock.now(), tables))

    def one(self, number: int) -> str:
        return self.ids[number % len(self.ids)] if self.ids else "001Hs0000099999AAA"

    def insert(self, number: int) -> None:
        self.ids.append(self.writer.insert(self.account, {"Name": f"a{number}", "Fax": str(number)}))
        self.writer.insert(self.contact, {"LastName": f"c{number}", "AccountId": self.one(number)})

    def update(self, number: int, value: int) -> None:
        self.writer.update(self.one(number), {"Fax": str(value), "Phone": None})

    def delete(self, which: list[int]) -> None:
        self.writer.delete_many(pl.Series([self.one(n) for n in which]))

    def undelete(self, number: int) -> None:
        self.writer.undelete(self.one(number))

    def merge(self, winner: int, loser: int) -> None:
        self.writer.merge(self.account, self.one(winner), [self.one(loser)], {"Fax": "merged"})

    def bulk(self, count: int) -> None:
        columns = {"Name": pl.Series([f"b{n}" if n != 2 else "" for n in range(count)])}
        given = given_text(self.org, self.org.admin, self.account, columns, count, failed=ValueError)
        self.ids += [i for i, _, _ in self.writer.insert_many(self.account, given) if i]

    def bulk_update(self, which: list[int]) -> None:
        given = self.writer.given(self.account, [{"Phone": str(n)} for n in which])
        self.writer.update_many(self.account, pl.Series([self.one(n) for n in which]), given)

    def hard(self, which: list[int]) -> None:
        self.writer.hard_delete_many(pl.Series([self.one(n) for n in which]))

    def load(self, count: int) -> None:
        self.ids += loading.load_rows(self.org, self.account, pl.DataFrame({"Name": [f"l{n}" for n in range(count)]}))

    def undone(self, number: int) -> None:
        with all_or_none(self.org):
            self.insert(number)
            self.ids.pop()
            self.delete([number])
            raise ApiError(400, "X", "x")

    def widen(self, number: int) -> None:
        self.account.add(make_field(f"New{number}__c", "string"))
        self.update(number, number)


@given(story=st.lists(action, min_size=3, max_size=14))
@settings(max_examples=25)
def test_the_file_alone_tells_the_org_of_every_moment(tmp_path_factory, story) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book, "MASS_ROWS", 4)
        told = Story(folder)
        for name, *arguments in story:
            told.do(name, *arguments)
    told.org.ledger.close()
    for at, tables in told.moments:
        rebuilt = snapshot(folder, at, OBJECTS)
        assert rebuilt.keys() == tables.keys()
        for name, rows in tables.items():
            later = [n for n in rows.columns if n not in rebuilt[name].columns]  # of fields that no row was saved with
            known = rebuilt[name].with_columns(pl.lit(None, dtype=pl.String).alias(n) for n in later)
            assert known.select(rows.columns).equals(rows), name


def test_a_line_that_a_crash_cut_is_left_out_and_files_are_complete(org, writer, tmp_path: Path) -> None:
    account = org.schema.objects["Account"]
    made = Org(OrgSettings(client_secret="secret", ledger_folder=tmp_path))
    save = Saver(made, made.admin, "test")
    account = made.schema.objects["Account"]
    save.insert_many(account, save.given(account, [{"Name": str(n)} for n in range(600)]))
    save.insert(account, {"Name": "last"})
    whole = (tmp_path / LEDGER_FILE).read_bytes()
    (tmp_path / LEDGER_FILE).write_bytes(whole[:-30])
    assert snapshot(tmp_path)["Account"].height == 600
    (tmp_path / LEDGER_FILE).write_bytes(whole)
    assert snapshot(tmp_path / LEDGER_FILE)["Account"]["Name"].to_list()[-1] == "last"


def test_a_mass_change_is_one_line_in_the_file_and_an_entry_per_row_when_it_is_read(org, writer) -> None:
    account = org.schema.objects["Account"]
    given: Callable = writer.given
    ids = writer.insert_many(account, given(account, [{"Name": str(n), "Fax": "1"} for n in range(700)])).frame["id"]
    since = org.ledger.sequence
    lines = (org.ledger.folder / LEDGER_FILE).read_bytes().count(b"\n")
    writer.update_many(account, ids, given(account, [{"Fax": str(n)} for n in range(700)]))
    assert (org.ledger.folder / LEDGER_FILE).read_bytes().count(b"\n") == lines + 1
    assert org.ledger.sequence == since + 700
    entries = list(org.ledger.since(since + 500))
    assert [e.sequence for e in entries] == list(range(since + 501, since + 701))
    assert (entries[0].id, entries[0].operation, entries[0].before["Fax"]) == (ids[500], "update", "1")
    assert entries[0].after["Fax"] == "500"
    line = orjson.loads(entries[0].line())
    assert list(line) == ["seq", "at", "object", "id", "op", "stamp", "who", "api", "before", "values"]
    assert (line["before"]["Name"], line["values"]["Name"], "Phone" in line["before"]) == ("500", "500", False)


def test_reading_from_a_number_skips_what_came_before(org, writer) -> None:
    account = org.schema.objects["Account"]
    for n in range(600):
        org.ledger.record(
            org.clock.now(), "Account", str(n), "insert", before=None, after={"Id": str(n)}, who="x", api="t"
        )
    last = org.ledger.sequence
    assert [e.id for e in org.ledger.since(last - 3)] == ["597", "598", "599"]
    new_id = writer.insert(account, {"Name": "n"})
    assert [e.id for e in org.ledger.since(last)] == [new_id]


def test_the_command_rebuilds_a_past_moment_from_the_folder(tmp_path: Path) -> None:
    made = Org(OrgSettings(client_secret="secret", ledger_folder=tmp_path / "data"))
    made.clock.set(datetime(2026, 1, 1, tzinfo=UTC), frozen=True)
    save = Saver(made, made.admin, "test")
    new_id = save.insert(made.schema.objects["Account"], {"Name": "before"})
    made.clock.advance(timedelta(hours=1))
    save.update(new_id, {"Name": "after"})
    run = CliRunner().invoke
    past = run(
        app, ["ledger", "snapshot", str(tmp_path / "data"), "--at", "2026-01-01T00:30:00", "--object", "Account"]
    )
    assert (past.exit_code, orjson.loads(past.output)["Name"]) == (0, "before")
    assert run(app, ["ledger", "snapshot", str(tmp_path / "data"), "--out", str(tmp_path / "out")]).exit_code == 0
    assert orjson.loads((tmp_path / "out" / "Account.jsonl").read_bytes())["Name"] == "after"
    assert "Account\t1" in run(app, ["ledger", "snapshot", str(tmp_path / "data" / LEDGER_FILE)]).output
    assert run(app, ["ledger", "snapshot", str(tmp_path / "nothing")]).exit_code == 2


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, used, kept = (tmp_path / f"orgsim-book-{name}" for name in ("left", "used", "young"))
    for folder in (left, used, kept):
        folder.mkdir()
        (folder / LEDGER_FILE).write_bytes(b"{}\n")
        if folder is not kept:
            os.utime(folder, (0, 0))
    with (used / LEDGER_FILE).open("rb") as opened:
        temporary.hold(opened.fileno())
        made = book.Ledger()
    assert (left.exists(), used.exists(), kept.exists(), made.folder.parent) == (False, True, True, tmp_path)
    made.close()
    assert not made.folder.exists()


async def test_a_running_org_says_where_its_ledger_lies(api) -> None:
    folder = (await api.http.get("/_org/ledger/folder")).json()["folder"]
    new_id = Saver(api.org, api.org.admin, "test").insert(api.org.schema.objects["Account"], {"Name": "n"})
    assert snapshot(Path(folder))["Account"]["Id"].to_list() == [new_id]
