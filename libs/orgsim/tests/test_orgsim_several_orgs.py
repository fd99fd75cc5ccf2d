"""Several orgs in one process: each request finds its own, and nothing leaks between them."""

import re
import ssl
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from holdfast.orgsim.listeners.orgs import OrgsApp
from holdfast.orgsim.org import Org, OrgSettings
from holdfast.orgsim.plans import PlanError, from_arguments, from_file
from holdfast.orgsim.testing import start_org

V = "/services/data/v62.0"


@pytest.fixture
def orgs() -> list[Org]:
    plans = from_arguments(["acme", "uat=sandbox", "other=developer"], OrgSettings(client_secret="secret"))
    return [Org(plan.settings) for plan in plans]


@pytest.fixture
async def http(orgs: list[Org]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(OrgsApp(orgs)), base_url="http://127.0.0.1:80") as made:
        yield made


async def sign_in(http: httpx.AsyncClient, org: Org, base: str = "") -> dict[str, str]:
    form = {"grant_type": "client_credentials", "client_id": org.app.client_id, "client_secret": org.app.client_secret}
    answer = await http.post(f"{base}/services/oauth2/token", data=form)
    assert answer.status_code == 200, answer.text
    return answer.json()


def bearer(answer: dict[str, str]) -> dict[str, str]:
    return {"Authorization": "Bearer " + answer["access_token"]}


async def create(http: httpx.AsyncClient, base: str, headers: dict[str, str], name: str) -> str:
    answer = await http.post(f"{base}{V}/sobjects/Account", json={"Name": name}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_names_kinds_and_own_ids(orgs: list[Org]) -> None:
    assert [o.domain_host for o in orgs] == [
        "acme.my.salesforce.com",
        "acme--uat.sandbox.my.salesforce.com",
        "other.develop.my.salesforce.com",
    ]
    for values in ([o.id for o in orgs], [o.admin.id for o in orgs], [o.admin.username for o in orgs]):
        assert len(set(values)) == 3
    assert [len(o.id) for o in orgs] == [18, 18, 18]
    for wrong in (["a", "a"], ["a=nonsense"], ["A b!"], ["-a"]):
        with pytest.raises(PlanError):
            from_arguments(wrong, OrgSettings())


@pytest.mark.parametrize(
    ("base", "at"),
    [("http://127.0.0.1:81", 0), ("http://127.0.0.1:81/orgs/acme", 0), ("http://127.0.0.1:81/orgs/uat", 1),
     ("http://127.0.0.1:81/orgs/acme--uat", 1), ("http://other.localhost:81", 2),
     ("https://acme--uat.sandbox.my.salesforce.com", 1), ("https://other.develop.my.salesforce.com", 2)],
)  # fmt: skip
async def test_path_and_host_choose_the_org(http: httpx.AsyncClient, orgs: list[Org], base: str, at: int) -> None:
    answer = await sign_in(http, orgs[at], base)
    assert answer["instance_url"] == base
    assert f"/id/{orgs[at].id}/" in answer["id"]
    await create(http, base, bearer(answer), "Only here")
    counts = [len(o.tables["Account"]) if "Account" in o.tables else 0 for o in orgs]
    assert counts == [1 if i == at else 0 for i in range(3)]
    listed = (await http.get(f"{base}/_org/objects")).json()["objects"]
    assert listed["Account"]["rows"] == 1


async def test_the_token_leads_to_its_org_on_a_shared_address(http: httpx.AsyncClient, orgs: list[Org]) -> None:
    for org in orgs:
        answer = await sign_in(http, org)
        assert answer["instance_url"] in ("http://127.0.0.1", "http://127.0.0.1:80")
        await create(http, "", bearer(answer), org.settings.my_domain)
        info = (await http.get("/services/oauth2/userinfo", headers=bearer(answer))).json()
        assert info["organization_id"] == org.id
        refused = await http.get(f"/orgs/{'acme' if org is not orgs[0] else 'uat'}{V}/limits", headers=bearer(answer))
        assert refused.status_code == 401
    assert [len(o.tables["Account"]) for o in orgs] == [1, 1, 1]


async def test_login_hosts_know_who_signs_in(http: httpx.AsyncClient, orgs: list[Org]) -> None:
    def form(org: Org) -> dict[str, str]:
        known = org.sign_in.passwords.of(org.admin.username)
        return {"grant_type": "password", "client_id": org.app.client_id, "client_secret": org.app.client_secret,
                "username": org.admin.username, "password": known.password + known.security_token}  # fmt: skip

    for org, host in ((orgs[0], "login"), (orgs[1], "test"), (orgs[2], "login")):
        answer = (await http.post(f"https://{host}.salesforce.com/services/oauth2/token", data=form(org))).json()
        assert answer["instance_url"] == f"https://{org.domain_host}"
        assert answer["id"].startswith(f"https://{host}.salesforce.com/id/{org.id}/")
        assert (await http.get(answer["id"], headers=bearer(answer))).json()["organization_id"] == org.id
    refused = await http.post("https://login.salesforce.com/services/oauth2/token", data=form(orgs[1]))
    assert refused.json()["error"] == "invalid_client_id"  # a sandbox does not sign in there


@pytest.mark.parametrize(
    ("base", "home"),
    [("https://test.salesforce.com", "https://acme--uat.sandbox.my.salesforce.com"),
     ("http://127.0.0.1:81", "http://127.0.0.1:81"), ("http://127.0.0.1:81/orgs/uat", "http://127.0.0.1:81/orgs/uat")],
)  # fmt: skip
async def test_the_login_page_leads_to_the_org_of_the_user(
    http: httpx.AsyncClient, orgs: list[Org], base: str, home: str
) -> None:
    """The Salesforce CLI has one client id for all orgs, so only the username tells which is meant."""
    back, user = "http://localhost:1717/OauthRedirect", orgs[1].admin.username
    query = {"response_type": "code", "client_id": "PlatformCLI", "redirect_uri": back, "state": "s"}
    answer = await http.get(f"{base}/services/oauth2/authorize", params=query)
    start = parse_qs(urlsplit(answer.headers["location"]).query)["startURL"][0]
    assert urlsplit(answer.headers["location"]).path == urlsplit(base).path + "/login"
    form = {"un": user, "pw": orgs[1].sign_in.passwords.of(user).password, "startURL": start}
    answer = await http.post(f"{base}/login", data=form)
    page = await http.get(urljoin(base, answer.headers["location"]))
    assert user in page.text
    hidden = {unescape(n): unescape(v) for n, v in re.findall(r'type="hidden" name="(.*?)" value="(.*?)"', page.text)}
    action = re.search(r'action="(.*?)"', page.text)
    assert action is not None
    answer = await http.post(urljoin(base, action[1]), data={**hidden, "save": "Allow"})
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    exchange = {"grant_type": "authorization_code", "client_id": "PlatformCLI", "code": code, "redirect_uri": back}
    http.cookies.clear()
    token = (await http.post(f"{base}/services/oauth2/token", data=exchange)).json()
    assert token["access_token"][:15] == orgs[1].id[:15]
    assert token["instance_url"] == home
    again = {"grant_type": "refresh_token", "client_id": "PlatformCLI", "refresh_token": token["refresh_token"]}
    assert (await http.post(f"{base}/services/oauth2/token", data=again)).json()["instance_url"] == home


async def test_clock_faults_and_counters_are_each_orgs_own(http: httpx.AsyncClient, orgs: list[Org]) -> None:
    await http.post("/orgs/uat/_org/faults", json={"effect": {"status": 503}, "path": "/limits", "count": None})
    await http.post("/orgs/uat/_org/clock", json={"advance_s": 86400})
    for org, status in zip(orgs, (200, 503, 200), strict=True):
        headers = bearer(await sign_in(http, org))
        assert (await http.get(f"{V}/limits", headers=headers)).status_code == status
    assert (orgs[1].clock.now() - orgs[0].clock.now()).total_seconds() > 86_000
    assert [o.accounting.total for o in orgs] == [1, 0, 1]


async def test_unknown_names_are_not_found(http: httpx.AsyncClient, orgs: list[Org]) -> None:
    headers = bearer(await sign_in(http, orgs[0]))
    for base in ("/orgs/nope", "https://nope.my.salesforce.com"):
        assert (await http.get(f"{base}{V}/limits", headers=headers)).status_code == 404
    assert [o["name"] for o in (await http.get("/_org/orgs")).json()] == ["acme", "acme--uat", "other"]


def test_a_file_says_which_orgs(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hush\n")
    file = tmp_path / "orgs.toml"
    file.write_text('[[org]]\nname="a"\nload=["rows"]\n[[org]]\nname="a--b"\nkind="sandbox"\napi_limit=7\n'
                    'session_s=5\nclient_secret_file="s"\n')  # fmt: skip
    first, second = from_file(file, OrgSettings(ledger_folder=tmp_path))
    assert first.load == [tmp_path / "rows"]
    assert second.settings.client_secret == "hush"
    assert (second.settings.api_limit, second.settings.session_lifetime.seconds) == (7, 5)
    assert second.settings.ledger_folder == tmp_path / "a--b"
    file.write_text('[[org]]\nname="a"\nnope=1\n')
    with pytest.raises(PlanError, match="nope"):
        from_file(file, OrgSettings())


@pytest.mark.integration
def test_a_process_serves_them_all(tmp_path: Path) -> None:
    with start_org(orgs=["acme", "uat=sandbox"], data_dir=tmp_path) as org:
        other = org.orgs["acme--uat"]
        assert other.url == f"{org.url}/orgs/acme--uat"
        assert other.token()[:15] == other.org_id[:15] != org.token()[:15]
        other.define("Thing__c", fields=[{"name": "T__c"}], rows=[{"Name": "x"}])
        assert "Thing__c" in other.objects()
        assert "Thing__c" not in org.objects()
        assert (tmp_path / "acme--uat" / "ledger.jsonl").exists()
        with httpx.Client(
            verify=ssl.create_default_context(cafile=org.ca_file), proxy=org.proxy_url, trust_env=False
        ) as http:
            assert http.get(f"https://{other.domain}/services/data").status_code == 200
