"""The org as a process: real sockets, an unmodified client, broken connections, a mass load."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import psutil
import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest

from holdfast.orgsim.testing import RunningOrg, start_org

pytestmark = pytest.mark.integration  # a process of its own, reached through real sockets
V = "/services/data/v62.0"
DATA = Path(__file__).parents[3] / "demo" / "data"
NPSP_ROWS = 17_283
DOTGOV_ROWS = 14_901


@pytest.fixture(scope="module")
def loaded() -> Iterator[RunningOrg]:
    with start_org(load=[DATA / "npsp-1k", DATA / "dotgov"]) as org:
        yield org


@pytest.fixture
def http(loaded: RunningOrg) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {loaded.token()}", "Accept-Encoding": "identity"}
    with httpx.Client(base_url=loaded.url, headers=headers, trust_env=False) as client:
        yield client
    loaded.clear_faults()


class PlainHttp(requests.adapters.HTTPAdapter):
    """Clients that force https reach a plain listener through this."""

    def send(self, request, **options):
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **options)


def simple_client(org: RunningOrg) -> Salesforce:
    session = requests.Session()
    session.trust_env = False
    host = org.url.removeprefix("http://")
    session.mount(f"https://{host}", PlainHttp())
    return Salesforce(session_id=org.token(), instance=host, session=session)


def test_the_load_is_complete_and_linked(loaded: RunningOrg, http: httpx.Client) -> None:
    objects = loaded.objects()
    setup = {entry["object"] for entry in loaded.ledger() if entry.get("api") == "setup"}
    assert sum(o["rows"] for n, o in objects.items() if n not in setup) == NPSP_ROWS + DOTGOV_ROWS
    with (DATA / "npsp-1k" / "Contact.csv").open(newline="") as file:
        source = list(csv.DictReader(file))
    with (DATA / "npsp-1k" / "Account.csv").open(newline="") as file:
        accounts = {row["Id"]: row["Name"] for row in csv.DictReader(file)}
    soql = "SELECT FirstName, LastName, Email, Account.Name FROM Contact ORDER BY Id LIMIT 500"
    records = http.get(f"{V}/query", params={"q": soql}).json()["records"]
    got = [(r["FirstName"], r["LastName"], r["Email"], r["Account"]["Name"]) for r in records]
    assert got == [
        (r["FirstName"] or None, r["LastName"], r["Email"] or None, accounts[r["AccountId"]]) for r in source[:500]
    ]


def test_bulk_rest_and_state_tell_the_same(loaded: RunningOrg, http: httpx.Client) -> None:
    state = loaded.state("Opportunity")
    fields = [f["name"] for f in http.get(f"{V}/sobjects/Opportunity/describe").json()["fields"]]
    assert set(fields) == set(next(iter(state.values())))
    body = {"operation": "queryAll", "query": f"SELECT {','.join(fields)} FROM Opportunity"}
    job = http.post(f"{V}/jobs/query", json=body).json()["id"]
    assert http.get(f"{V}/jobs/query/{job}").json()["state"] == "JobComplete"
    page = http.get(f"{V}/jobs/query/{job}/results")
    assert page.headers["Sforce-Locator"] == "null"
    rows = {r["Id"]: {k: v or None for k, v in r.items()} for r in csv.DictReader(io.StringIO(page.text, newline=""))}
    assert rows == state
    first = http.get(f"{V}/query", params={"q": f"SELECT {','.join(fields)} FROM Opportunity LIMIT 1"})
    amount = state[first.json()["records"][0]["Id"]]["Amount"]
    assert f'"Amount":{amount},' in first.text


def test_simple_salesforce_reads_pages_writes_and_reports(loaded: RunningOrg) -> None:
    client = simple_client(loaded)
    assert client.query_all("SELECT Id FROM Domain__c")["totalSize"] == DOTGOV_ROWS
    assert (
        len(list(client.query_all_iter("SELECT Id, Name FROM Account")))
        == client.query("SELECT COUNT() FROM Account")["totalSize"]
    )
    made = client.Account.create({"Name": "by simple-salesforce"})
    client.Account.update(made["id"], {"Fax": "1"})
    assert client.Account.get(made["id"])["Fax"] == "1"
    pages = list(client.bulk2.Account.query("SELECT Id, Name FROM Account", max_records=500))
    assert sum(len(list(csv.reader(io.StringIO(p)))) - 1 for p in pages) == loaded.objects()["Account"]["rows"]
    inserted = client.bulk2.Account.insert(records=[{"Name": "bulk 1"}, {"Name": "bulk 2"}])
    assert inserted[0]["numberRecordsProcessed"] == 2
    client.Account.delete(made["id"])
    with pytest.raises(SalesforceMalformedRequest) as refused:
        client.query("SELECT Nope FROM Account")
    assert refused.value.content[0]["errorCode"] == "INVALID_FIELD"
    assert client.describe()["maxBatchSize"] == 200


def test_broken_connections(loaded: RunningOrg, http: httpx.Client) -> None:
    path = f"{V}/sobjects/Account/describe"
    loaded.faults({"path": "describe", "effect": {"reset": True}})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        http.get(path)
    loaded.faults({"path": "describe", "effect": {"close_after": 1000}})
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(path)
    whole = http.get(path).content
    loaded.faults({"path": "describe", "effect": {"truncate": 1000}})
    assert http.get(path).content == whole[:1000]
    loaded.faults({"path": "describe", "effect": {"drip": {"bytes": 50_000, "every_s": 0.01}}})
    assert http.get(path).content == whole
    loaded.faults({"path": "describe", "effect": {"latency_s": 0.2}})
    started = time.monotonic()
    assert http.get(path).status_code == 200
    assert time.monotonic() - started >= 0.2
    assert [f["applied"] for f in loaded.faults()] == [1] * 5


def test_page_fetches_are_counted(loaded: RunningOrg, http: httpx.Client) -> None:
    loaded.reset_calls()
    job = http.post(f"{V}/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Contact"}).json()["id"]
    for _ in range(2):
        http.get(f"{V}/jobs/query/{job}/results")
    calls = loaded.calls()
    assert calls["total"] == 3
    assert calls["bulk_pages"] == [{"job": job, "locator": "", "max_records": "", "fetched": 2}]
    assert {"method": "POST", "route": "/services/data/v{version}/jobs/query", "calls": 1} in calls["routes"]


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    parent = subprocess.Popen(
        [sys.executable, "-c", "import os,subprocess,sys,time\n"
         "subprocess.Popen([sys.executable,'-m','holdfast.orgsim','serve','--ready-file',sys.argv[1],"
         "'--data-dir',sys.argv[2],'--parent-pid',str(os.getpid())])\ntime.sleep(60)", str(ready), str(tmp_path)],
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    info = orjson.loads(ready.read_bytes())
    assert ready.stat().st_mode & 0o077 == 0
    parent.kill()
    parent.wait()
    while psutil.pid_exists(info["pid"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(info["pid"]) or psutil.Process(info["pid"]).status() == psutil.STATUS_ZOMBIE
    lines = (tmp_path / "ledger.jsonl").read_bytes().splitlines()
    assert orjson.loads(lines[0])["op"] == "insert"
    assert info["pid"] != os.getpid()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast.orgsim", "serve", "--json"], env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    orjson.loads(process.stdout.readline())
    assert list(tmp_path.iterdir())
    process.send_signal(number)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_wrong_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="neither a folder nor a file"), start_org(load=[tmp_path / "nowhere"]):
        pass
