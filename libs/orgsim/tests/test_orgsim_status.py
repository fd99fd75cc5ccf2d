"""The status page: what it shows is true, and a browser with the strictest policy can show it."""

import json
import re

V = "/services/data/v62.0"


async def test_the_page_needs_nothing_from_elsewhere(api) -> None:
    page = await api.http.get("/_org/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html;charset=UTF-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert links
    for link in links:
        answer = await api.http.get(link)
        assert answer.status_code == 200, link
        assert link.endswith("/status") or "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"<script>|<style|onclick=|style=", page.text)
    assert (await api.http.get("/_org/page/index.html")).status_code == 404


async def test_links_begin_where_the_browser_came_in(api) -> None:
    page = await api.http.get("/_org/")
    assert 'data-base="/_org"' in page.text


async def test_the_facts_are_those_of_the_org(api) -> None:
    http = api.http
    named = {"Sforce-Call-Options": "client=backup/2"}
    made = await http.post(f"{V}/sobjects/Account", json={"Name": "a"}, headers=named)
    other = await http.post(f"{V}/sobjects/Account", json={"Name": "b"}, headers=named)
    await http.patch(f"{V}/sobjects/Account/{made.json()['id']}", json={"Fax": "1"}, headers=named)
    await http.delete(f"{V}/sobjects/Account/{other.json()['id']}", headers=named)
    assert (await http.get(f"{V}/nothing", headers=named)).status_code == 404
    await http.post(f"{V}/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"})
    await http.post("/_org/faults", json={"name": "later", "after_s": 60, "effect": {"reset": True}})
    shown = (await http.get("/_org/status")).json()
    assert {"name": "Account", "rows": 1, "deleted": 1} in shown["objects"]
    (client,) = [c for c in shown["clients"] if c["client"] == "backup/2"]
    assert (client["calls"], client["errors"], client["last_status"]) == (5, 1, 404)
    assert client["last_request"] == f"GET {V}/nothing"
    assert shown["limits"][0] == {"name": "API requests", "used": api.org.accounting.total, "max": 100_000}
    assert shown["limits"][2]["used"] == 1
    assert [(s["user"], s["count"]) for s in shown["sessions"]] == [(api.org.admin.username, 1)]
    (fault,) = shown["faults"]
    assert (fault["name"], fault["waiting"], fault["spent"]) == ("later", True, False)
    assert [(j["api"], j["object"], j["operation"]) for j in shown["jobs"]] == [("2.0", "Account", "query")]
    deleted, updated = shown["ledger"]["entries"][:2]
    assert (deleted["op"], updated["op"], updated["changed"]) == ("delete", "update", ["Fax"])
    assert shown["ledger"]["sequence"] == deleted["seq"]
    assert shown["clock"]["frozen"] is False
    assert shown["org"]["id"] == api.org.id


async def test_a_reset_brings_the_loaded_rows_back_and_the_ledger_says_how(api) -> None:
    http = api.http
    rows = [{"Name": n} for n in ("kept", "changed", "gone")]
    body = {"name": "T__c", "fields": [{"name": "V__c"}], "rows": rows}
    kept, changed, gone = (await http.post("/_org/objects", json=body)).json()["ids"]
    before = (await http.get("/_org/state?object=T__c")).text
    await http.patch(f"{V}/sobjects/T__c/{changed}", json={"V__c": "x"})
    await http.delete(f"{V}/sobjects/T__c/{gone}")
    made = (await http.post(f"{V}/sobjects/T__c", json={"Name": "new"})).json()["id"]
    account = (await http.post(f"{V}/sobjects/Account", json={"Name": "new"})).json()["id"]
    await http.post("/_org/faults", json={"effect": {"read_only": True}})
    since = api.org.ledger.sequence
    answer = (await http.post("/_org/reset", json={"data": True})).json()
    assert answer["changed"] == {"T__c": 3, "Account": 1}
    assert (await http.get("/_org/state?object=T__c")).text == before
    assert (await http.get("/_org/state?object=Account")).text == ""
    entries = (await http.get(f"/_org/ledger?since={since}")).text.splitlines()
    undone = {e["id"]: e["op"] for e in map(json.loads, entries)}
    assert undone == {made: "harddelete", account: "harddelete", changed: "update", gone: "update"}
    assert (await http.get("/_org/faults")).json() == []
    assert (await http.get("/_org/calls")).json()["total"] == 0
    assert api.org.recycle_bin == {}
    assert (await http.patch(f"{V}/sobjects/T__c/{kept}", json={"V__c": "y"})).status_code == 204
    assert (await http.post("/_org/reset", json={"dta": True})).status_code == 400


async def test_settings_and_the_clock_can_be_changed_while_it_runs(api) -> None:
    known = (await api.http.get("/_org/settings")).json()
    changed = (await api.http.post("/_org/settings", json={"bulk_job_s": 1.5, "compress": False})).json()
    assert changed == {**known, "bulk_job_s": 1.5, "compress": False}
    for wrong in ({"bulk_jobs": 1}, {"bulk_job_s": "x"}, {"bulk_job_s": -1}, {"compress": 1}, {"session_s": True}):
        assert (await api.http.post("/_org/settings", json=wrong)).status_code == 400
    stopped = (await api.http.post("/_org/clock", json={"frozen": True})).json()
    assert stopped["frozen"] is True
    assert (await api.http.get("/_org/clock")).json()["now"] == stopped["now"]
    assert (await api.http.post("/_org/clock", json={"frozen": False})).json()["frozen"] is False
    for wrong in ({"advance_s": "soon"}, {"advance": 3600}, {}):
        assert (await api.http.post("/_org/clock", json=wrong)).status_code == 400
    refused = (await api.http.post("/_org/load", json={})).json()
    assert refused[0]["message"].startswith("'path' is missing. The call: ")
    assert (await api.http.get("/_org/ledger?since=x")).status_code == 400
