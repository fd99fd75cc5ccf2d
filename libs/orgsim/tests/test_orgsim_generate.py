"""Data sets made out of small ones, and orgs that serve them from files."""

import csv
import io
from pathlib import Path

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

from holdfast.orgsim.ids import to18
from holdfast.orgsim.main import app
from holdfast.orgsim.org import Org, OrgSettings
from holdfast.orgsim.saving.saver import Saver
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse
from holdfast.orgsim.store import chunks, edits, mapped
from holdfast.orgsim.store.generate import LOADED, UNTIL, generate
from holdfast.orgsim.store.loading import load_path

V = "/services/data/v62.0"
ROWS = 5_000
COUNTS = {"Account": 900, "Contact": 1_350, "Gift__c": 2_250, "Domain__c": 500}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    people, register = tmp_path_factory.mktemp("people"), tmp_path_factory.mktemp("register")
    (people / "Account.csv").write_text("Id,Name,ParentId\n1,Top,\n2,Sub,1\n")
    (people / "Contact.csv").write_text("Id,LastName,Title,AccountId\n1,Ng,Dr,1\n2,Li,,2\n3,Oz,Ms,\n")
    lines = "\n".join(f"{n},{n % 3 + 1},{n}.5" for n in range(1, 6))
    (people / "Gift__c.csv").write_text(f"Id,From__c,Amount__c\n{lines}\n")
    references = {"Account": {"ParentId": ["Account"]}, "Contact": {"AccountId": ["Account"]},
                  "Gift__c": {"From__c": ["Contact"]}}  # fmt: skip
    (people / "_references.json").write_bytes(orjson.dumps(references))
    header = "Domain name,Domain type,Organization name,Suborganization name,City,State,Security contact email"
    (register / "initial.csv").write_text(f"{header}\na.gov,City,A,,X,TX,a@a.gov\nb.gov,County,B,,Y,OH,(blank)\n")
    return [people, register]


@pytest.fixture(scope="module")
def data(sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ROWS", 700)
        assert generate(folder, sources, ROWS, 7) == COUNTS
    return folder


@pytest.fixture
def org(data: Path) -> Org:
    """An org that serves the data set from its files."""
    made = Org(OrgSettings(client_secret="secret"))
    made.instance_url = "http://org"
    assert load_path(made, data) == ROWS
    return made


def frames(org: Org) -> dict[str, pl.DataFrame]:
    return {name: org.tables[name].frame() for name in COUNTS}


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(
    sources: list[Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 700)
    for seed, same in ((7, True), (8, False)):
        generate(tmp_path / str(seed), sources, ROWS, seed)
        pairs = [
            ((tmp_path / str(seed) / f"{n}.arrow").read_bytes(), (data / f"{n}.arrow").read_bytes()) for n in COUNTS
        ]
        assert all(a == b for a, b in pairs) == same


def test_copies_have_ids_of_their_own_and_point_within_themselves(org: Org) -> None:
    held = frames(org)
    for name, frame in held.items():
        found = frame["Id"].to_list()
        assert found == sorted(set(found))
        assert all(to18(each[:15]) == each for each in found[::97]), name
    accounts, contacts = held["Account"], held["Contact"]
    number = dict(zip(accounts["Id"], range(accounts.height), strict=True))
    wanted = [[2 * (n // 3), 2 * (n // 3) + 1, None][n % 3] for n in range(contacts.height)]
    assert [None if i is None else number[i] for i in contacts["AccountId"]] == wanted
    gifts = held["Gift__c"].join(contacts.select(From__c="Id", who="LastName"), on="From__c", how="left")
    assert gifts["who"].to_list()[:5] == ["Li", "Oz", "Ng", "Li", "Oz"]
    assert held["Gift__c"]["Name"].to_list()[-1] == "G-0002250"


def test_edits_come_at_the_rates_of_the_register(org: Org) -> None:
    history = edits.draw("7/x", 100_000, 3, 50)
    assert history.inserted == round(100_000 * edits.INSERTS_A_DAY * edits.DAYS)
    assert history.rows["row"].is_sorted() and history.rows["row"].is_unique().all()
    assert history.rows["row"].max() < 100_000 - history.inserted
    deleted = history.rows["deleted"].sum()
    assert deleted == pytest.approx(100_000 * edits.DELETES_A_DAY * edits.DAYS, rel=0.05)
    assert history.rows.height - deleted == pytest.approx(100_000 * edits.UPDATES_A_DAY * edits.DAYS, rel=0.05)
    gifts = frames(org)["Gift__c"]
    moved = gifts.filter(pl.col("SystemModstamp") > pl.col("CreatedDate"))
    assert 0.5 < moved.height / (gifts.height * (edits.UPDATES_A_DAY + edits.DELETES_A_DAY) * edits.DAYS) < 1.5
    assert gifts["SystemModstamp"].max() <= UNTIL.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert gifts["CreatedDate"].min() == LOADED.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    later = gifts.filter(pl.col("CreatedDate") > LOADED.strftime("%Y-%m-%dT23"))
    assert later.height == round(gifts.height * edits.INSERTS_A_DAY * edits.DAYS)


def test_an_org_on_files_answers_as_one_in_memory_before_and_after_saves(org: Org) -> None:
    memory = Org(OrgSettings(client_secret="secret"))
    memory.schema = org.schema
    for name, frame in frames(org).items():
        memory.load(org.schema.objects[name], frame.rechunk())
        memory.reserve_numbers(org.schema.objects[name], frame.height)
    memory.auto_numbers |= org.auto_numbers
    memory.clock.set(UNTIL, frozen=True)
    org.clock.set(UNTIL, frozen=True)
    questions = [
        "SELECT Id, Name, From__c, From__r.LastName, Amount__c, SystemModstamp FROM Gift__c",
        "SELECT COUNT() FROM Contact WHERE AccountId != null",
        "SELECT Id FROM Account WHERE Parent.Name = 'Top' ORDER BY SystemModstamp DESC, Id LIMIT 7",
        "SELECT Title, COUNT(Id) FROM Contact GROUP BY Title",
    ]
    ids = [org.tables["Contact"].frame()["Id"][n] for n in (0, 800, 1_300)]
    for step in (lambda _: None, lambda w: w.update(ids[0], {"Title": "Prof"}), lambda w: w.delete(ids[1]),
                 lambda w: w.insert(w.org.schema.objects["Gift__c"], {"From__c": ids[2]})):  # fmt: skip
        for each in (org, memory):
            step(Saver(each, each.admin, "test"))
        for question in questions:
            on_files, in_memory = (run(each, parse(question), each.admin) for each in (org, memory))
            assert on_files.total == in_memory.total
            assert on_files.frame.equals(in_memory.frame), question


def test_an_edit_leaves_the_files_and_other_chunks_alone(org: Org, data: Path) -> None:
    table = org.tables["Gift__c"]
    before, chunks_before, bytes_before = table.frame(), list(table._chunks), (data / "Gift__c.arrow").read_bytes()
    row = table.get(before["Id"][1_000])
    table.put(before["Id"][1_000], {**row, "Amount__c": "9.0"})
    after = table.frame()
    assert (before["Amount__c"][1_000], after["Amount__c"][1_000]) == (row["Amount__c"], "9.0")
    assert after.height == before.height and (data / "Gift__c.arrow").read_bytes() == bytes_before
    same = [old is new for old, new in zip(chunks_before, table._chunks, strict=True)]
    assert same == [True, False, True, True]


def test_the_ledger_of_an_org_on_files_rebuilds_it(org: Org) -> None:
    ids = org.tables["Contact"].frame()["Id"]
    Saver(org, org.admin, "test").update(ids[3], {"Title": "Prof"})
    held = {row["Id"]: row for row in org.tables["Contact"].rows()}
    assert org.ledger.state_at(org.clock.now(), "Contact") == held


def test_pages_given_back_can_be_read_again(org: Org, monkeypatch: pytest.MonkeyPatch) -> None:
    before = org.tables["Contact"].frame().rows()
    monkeypatch.setattr(mapped, "RELEASE_BYTES", 0)
    mapped.release_mapped_pages()
    assert org.tables["Contact"].frame().rows() == before


async def test_bulk_pages_of_an_org_on_files_are_its_rows(api) -> None:
    api.org.settings.bulk_page_bytes = 20_000
    body = {"operation": "queryAll", "query": "SELECT Id, Amount__c, IsDeleted, OwnerId FROM Gift__c"}
    job, rows, locator = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"], [], ""
    await api.http.get(f"{V}/jobs/query/{job}")
    while locator != "null":
        params = {"locator": locator} if locator else {}
        page = await api.http.get(f"{V}/jobs/query/{job}/results", params=params)
        rows += list(csv.reader(io.StringIO(page.text)))[1:]
        locator = page.headers["Sforce-Locator"]
    held = api.org.tables["Gift__c"].frame().select("Id", "Amount__c", "IsDeleted", "OwnerId")
    assert [tuple(row) for row in rows] == held.rows()


def test_a_data_set_wants_a_pristine_org_and_a_folder_of_its_own(data: Path, sources: list[Path], org: Org) -> None:
    with pytest.raises(ValueError, match="before anything else"):
        load_path(org, data)
    with pytest.raises(FileExistsError):
        generate(data, sources, 10, 1)


def test_the_command_prints_counts_and_the_seed(sources: list[Path], tmp_path: Path) -> None:
    from_ = [part for source in sources for part in ("--from", str(source))]
    answer = CliRunner().invoke(app, ["generate", "--rows", "100", "--out", str(tmp_path / "out"), *from_])
    assert answer.exit_code == 0, answer.output
    seed = orjson.loads((tmp_path / "out" / "manifest.json").read_bytes())["seed"]
    assert answer.output.splitlines()[-1].endswith(f"seed {seed}")
    assert answer.output.splitlines()[-1].startswith("100 rows in")
