"""Signing in: every grant, the pages in between, and every refusal."""

import base64
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from holdfast.orgsim.api.app import OrgApp
from holdfast.orgsim.auth.passwords import networks
from holdfast.orgsim.org import Org

V = "/services/data/v62.0"
TOKEN = "/services/oauth2/token"
BACK = "https://client.example/back?x=1"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
OPAQUE = re.compile(r"00D[A-Za-z0-9]{12}![A-Za-z0-9._]{96}")


@pytest.fixture
async def browser(org: Org) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(OrgApp(org)), base_url="http://org") as made:
        yield made


@pytest.fixture
def client(org: Org) -> dict[str, str]:
    return {"client_id": org.app.client_id, "client_secret": "secret"}


def password_of(org: Org, *, token: bool) -> str:
    known = org.sign_in.passwords.of(org.admin.username)
    return known.password + (known.security_token if token else "")


def asked(org: Org, **more: str) -> dict[str, str]:
    return {"response_type": "code", "client_id": org.app.client_id, "redirect_uri": BACK, "state": "a b&c",
            "scope": "api refresh_token", **more}  # fmt: skip


def fields(page: str) -> dict[str, str]:
    """Hidden and filled fields of the page's form."""
    found = re.findall(r'<input[^>]*?name="([^"]*)"[^>]*?value="([^"]*)"', page)
    return {unescape(name): unescape(value) for name, value in found}


async def log_in(browser: httpx.AsyncClient, org: Org, start: str = "") -> httpx.Response:
    form = {"un": org.admin.username, "pw": password_of(org, token=False), "startURL": start}
    return await browser.post("/login", data=form)


async def code_for(browser: httpx.AsyncClient, org: Org, **more: str) -> str:
    """A code as a person gets it: login, consent, redirect."""
    answer = await browser.get("/services/oauth2/authorize", params=asked(org, **more))
    if urlsplit(answer.headers.get("location", "")).path == "/login":
        answer = await log_in(browser, org, fields((await browser.get(answer.headers["location"])).text)["startURL"])
        answer = await browser.get(answer.headers["location"])
    if answer.status_code == 200:
        form = {**fields(answer.text), "save": "Allow"}
        answer = await browser.post("/setup/secur/RemoteAccessAuthorizationPage.apexp", data=form)
    assert answer.headers["location"].startswith(BACK + "&"), answer.text
    given = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert given["state"] == "a b&c"
    return given["code"]


async def test_web_server_flow_with_login_and_consent(browser, org: Org, client) -> None:
    first = await browser.get("/services/oauth2/authorize", params=asked(org, code_challenge=CHALLENGE))
    assert first.status_code == 302
    page = await browser.get(first.headers["location"])
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html;charset=UTF-8")
    assert 'name="un"' in page.text and 'name="pw" type="password"' in page.text
    code = await code_for(browser, org, code_challenge=CHALLENGE)
    form = {**client, "grant_type": "authorization_code", "code": code, "redirect_uri": BACK,
            "code_verifier": VERIFIER}  # fmt: skip
    answer = (await browser.post(TOKEN, data=form)).json()
    assert list(answer) == ["access_token", "refresh_token", "signature", "scope", "instance_url", "id", "token_type",
                            "issued_at"]  # fmt: skip
    assert OPAQUE.fullmatch(answer["access_token"])
    assert answer["access_token"][:15] == org.id[:15]
    assert answer["refresh_token"].startswith("5Aep")
    assert (answer["scope"], answer["instance_url"], answer["token_type"]) == (
        "refresh_token api",
        "http://org",
        "Bearer",
    )
    assert answer["id"] == f"http://org/id/{org.id}/{org.admin.id}"
    assert re.fullmatch(r"\d{13}", answer["issued_at"])
    digest = hmac.new(b"secret", (answer["id"] + answer["issued_at"]).encode(), hashlib.sha256).digest()
    assert answer["signature"] == base64.b64encode(digest).decode()
    assert "expires_in" not in answer
    again = await browser.post(TOKEN, data=form)
    assert again.json() == {"error": "invalid_grant", "error_description": "expired authorization code"}
    # approved once, the consent page is not shown again
    redirected = await browser.get("/services/oauth2/authorize", params=asked(org))
    assert "code=" in redirected.headers["location"]
    assert (await browser.get("/services/oauth2/authorize", params=asked(org, prompt="consent"))).status_code == 200


@pytest.mark.parametrize(
    ("changes", "after", "error", "description"),
    [({"code_verifier": "w" * 64}, 0, "invalid_grant", "invalid code verifier"),
     ({"code_verifier": None}, 0, "invalid_request", "missing required code verifier"),
     ({}, 15 * 60 + 1, "invalid_grant", "expired authorization code"),
     ({"redirect_uri": "https://other.example"}, 0, "redirect_uri_mismatch", "redirect_uri must match configuration"),
     ({"client_secret": "wrong"}, 0, "invalid_client", "invalid client credentials"),
     ({"client_secret": None}, 0, "invalid_client", "invalid client credentials"),
     ({"client_id": "PlatformCLI"}, 0, "invalid_grant", "expired authorization code"),
     ({"client_id": "nobody"}, 0, "invalid_client_id", "client identifier invalid")],
)  # fmt: skip
async def test_a_code_is_refused(browser, org: Org, client, changes, after: int, error: str, description: str) -> None:
    code = await code_for(browser, org, code_challenge=CHALLENGE)
    org.clock.advance(timedelta(seconds=after))
    form = {**client, "grant_type": "authorization_code", "code": code, "redirect_uri": BACK,
            "code_verifier": VERIFIER, **changes}  # fmt: skip
    if form["client_id"] == "PlatformCLI":
        form["client_secret"] = ""
    answer = await browser.post(TOKEN, data={key: value for key, value in form.items() if value is not None})
    assert (answer.status_code, answer.json()) == (400, {"error": error, "error_description": description})


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"response_type": "telepathy"}, "unsupported_response_type"), ({"scope": "moon"}, "invalid_scope"),
     ({"code_challenge": CHALLENGE, "code_challenge_method": "plain"}, "invalid_request"),
     ({"code_challenge": "short"}, "invalid_request"), ({"prompt": "none"}, "immediate_unsuccessful"),
     ({"immediate": "true"}, "immediate_unsuccessful")],
)  # fmt: skip
async def test_authorize_sends_errors_back_with_the_state(browser, org: Org, changes, error: str) -> None:
    answer = await browser.get("/services/oauth2/authorize", params=asked(org, **changes))
    given = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert answer.headers["location"].startswith("https://client.example/back?x=1&error=")
    assert (given["error"], given["state"]) == (error, "a b&c")


async def test_nobody_is_sent_to_a_stranger(browser, org: Org) -> None:
    org.app.callbacks = ("https://client.example/back",)
    for wrong in ({"redirect_uri": "https://evil.example"}, {"client_id": "<b>"}, {"redirect_uri": "javascript:1"}):
        answer = await browser.get("/services/oauth2/authorize", params=asked(org, **wrong))
        assert (answer.status_code, "location" in answer.headers) == (400, False)
        assert "<b>" not in answer.text
    org.app.callbacks = ()
    answer = await browser.get("/services/oauth2/authorize", params=asked(org, redirect_uri="javascript:alert(1)"))
    assert "redirect_uri_mismatch" in answer.text
    for start in ("//evil.example", "https://evil.example", "/\\evil.example"):
        answer = await log_in(browser, org, start)
        assert "evil" not in answer.headers.get("location", "")


async def test_pages_escape_what_they_are_given(browser, org: Org) -> None:
    page = await browser.get("/login", params={"un": '"><script>alert(1)</script>', "startURL": '/"><script>'})
    assert "<script>" not in page.text
    assert fields(page.text)["startURL"] == '/"><script>'
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


async def test_consent_needs_our_own_form_and_can_be_denied(browser, org: Org) -> None:
    await log_in(browser, org)
    page = await browser.get("/services/oauth2/authorize", params=asked(org))
    form = fields(page.text)
    forged = await browser.post(
        "/setup/secur/RemoteAccessAuthorizationPage.apexp", data={**form, "confirmation": "0", "save": "Allow"}
    )
    assert forged.status_code == 400
    assert not org.app.approved
    denied = await browser.post("/setup/secur/RemoteAccessAuthorizationPage.apexp", data={**form, "cancel": "Deny"})
    given = parse_qs(urlsplit(denied.headers["location"]).query)
    assert given["error"] == ["access_denied"]
    assert given["error_description"] == ["end-user denied authorization"]


async def test_prompt_login_asks_again_and_a_wrong_password_says_so(browser, org: Org) -> None:
    await log_in(browser, org)
    answer = await browser.get("/services/oauth2/authorize", params=asked(org, prompt="login"))
    assert urlsplit(answer.headers["location"]).path == "/login"
    start = fields((await browser.get(answer.headers["location"])).text)["startURL"]
    assert "prompt" not in start
    wrong = await browser.post("/login", data={"un": org.admin.username, "pw": "no", "startURL": start})
    assert "Please check your username and password" in wrong.text
    assert "set-cookie" not in wrong.headers
    right = await log_in(browser, org, start)
    assert right.headers["location"] == start
    assert "HttpOnly" in right.headers["set-cookie"]


async def test_user_agent_flow_answers_in_the_fragment(browser, org: Org) -> None:
    await log_in(browser, org)
    org.app.approved.add(org.admin.username)
    query = asked(org, response_type="token", scope="api id")
    answer = await browser.get("/services/oauth2/authorize", params=query)
    given = dict(parse_qsl(urlsplit(answer.headers["location"]).fragment))
    assert OPAQUE.fullmatch(given["access_token"])
    assert (given["state"], given["scope"], "refresh_token" in given) == ("a b&c", "api id", False)
    native = {**query, "redirect_uri": "my.app:/done", "scope": "api refresh_token"}
    answer = await browser.get("/services/oauth2/authorize", params=native)
    assert "refresh_token=5Aep" in answer.headers["location"]


async def refreshed(browser, form: dict[str, str]) -> httpx.Response:
    return await browser.post(TOKEN, data={"grant_type": "refresh_token", **form})


@pytest.fixture
async def refresh_token(browser, org: Org, client) -> str:
    code = await code_for(browser, org)
    form = {**client, "grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    return (await browser.post(TOKEN, data=form)).json()["refresh_token"]


async def test_refresh(browser, org: Org, client, refresh_token: str) -> None:
    answer = await refreshed(browser, {**client, "refresh_token": refresh_token})
    assert list(answer.json()) == [
        "access_token",
        "signature",
        "scope",
        "instance_url",
        "id",
        "token_type",
        "issued_at",
    ]
    basic = base64.b64encode(f"{org.app.client_id}:secret".encode()).decode()
    answer = await browser.post(
        TOKEN, data={"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": "api"},
        headers={"Authorization": f"Basic {basic}"},
    )  # fmt: skip
    assert answer.json()["scope"] == "api"
    for wrong, error in (
        ({**client, "refresh_token": "5Aep"}, ("invalid_grant", "expired access/refresh token")),
        (
            {**client, "refresh_token": refresh_token, "client_secret": "x"},
            ("invalid_client", "invalid client credentials"),
        ),
        (
            {"client_id": client["client_id"], "refresh_token": refresh_token},
            ("invalid_client", "invalid client credentials"),
        ),
        (
            {**client, "refresh_token": refresh_token, "scope": "web"},
            ("invalid_scope", "the requested scope is not allowed"),
        ),
    ):
        answer = await refreshed(browser, wrong)
        assert (answer.status_code, tuple(answer.json().values())) == (400, error)


async def test_refresh_tokens_rotate_age_and_end(browser, org: Org, client, refresh_token: str) -> None:
    await browser.post("/_org/apps", json={"rotates_refresh_tokens": True, "refresh_lifetime_s": 3600})
    second = (await refreshed(browser, {**client, "refresh_token": refresh_token})).json()
    assert second["refresh_token"] != refresh_token
    assert (await refreshed(browser, {**client, "refresh_token": refresh_token})).status_code == 400
    bearer = {"Authorization": "Bearer " + second["access_token"]}
    assert (await browser.get(f"{V}/limits", headers=bearer)).status_code == 200
    assert (await browser.get("/services/oauth2/revoke", params={"token": second["refresh_token"]})).status_code == 200
    assert (await browser.get(f"{V}/limits", headers=bearer)).status_code == 401  # it came from that refresh token
    third = org.sign_in.grants.issue_refresh(org.app, org.admin, frozenset({"api"}), org.clock.now())
    org.clock.advance(timedelta(hours=1))
    answer = await refreshed(browser, {**client, "refresh_token": third.value})
    assert answer.json()["error_description"] == "expired access/refresh token"


async def test_username_password(browser, org: Org, client) -> None:
    form = {**client, "grant_type": "password", "username": org.admin.username}
    answer = await browser.post(TOKEN, data={**form, "password": password_of(org, token=True)})
    assert list(answer.json()) == [
        "access_token",
        "signature",
        "scope",
        "instance_url",
        "id",
        "token_type",
        "issued_at",
    ]
    refused = {"error": "invalid_grant", "error_description": "authentication failure"}
    for wrong in ("", password_of(org, token=False)):
        assert (await browser.post(TOKEN, data={**form, "password": wrong})).json() == refused
    await browser.post("/_org/login-policy", json={"trusted_ranges": ["127.0.0.0/8"]})
    assert (await browser.post(TOKEN, data={**form, "password": password_of(org, token=False)})).status_code == 200
    await browser.post("/_org/login-policy", json={"password_flow": False})
    assert (await browser.post(TOKEN, data={**form, "password": password_of(org, token=True)})).json() == refused
    unknown = {**form, "username": "nobody@example.com", "password": "x"}
    assert (await browser.post(TOKEN, data=unknown)).json() == refused


async def test_ten_wrong_passwords_lock_out_for_a_while(browser, org: Org, client) -> None:
    form = {**client, "grant_type": "password", "username": org.admin.username}
    for _ in range(10):
        await browser.post(TOKEN, data={**form, "password": "wrong"})
    right = {**form, "password": password_of(org, token=True)}
    assert (await browser.post(TOKEN, data=right)).status_code == 400
    assert (await browser.get("/_org/logins")).json()[-1]["Status"] == "Password Lockout"
    org.clock.advance(timedelta(minutes=15))
    assert (await browser.post(TOKEN, data=right)).status_code == 200
    await browser.post("/_org/passwords", json={"locked": True})
    assert (await browser.post(TOKEN, data=right)).status_code == 400


async def test_a_password_set_by_rest_is_the_one_to_sign_in_with(browser, org: Org, client) -> None:
    token = org.sessions.open(org.admin, org.clock.now()).token
    bearer, path = {"Authorization": f"Bearer {token}"}, f"{V}/sobjects/User/{org.admin.id}/password"
    assert (await browser.post(path, json={"NewPassword": "correct horse"}, headers=bearer)).status_code == 204
    form = {**client, "grant_type": "password", "username": org.admin.username}
    right = "correct horse" + org.sign_in.passwords.of(org.admin.username).security_token
    assert (await browser.post(TOKEN, data={**form, "password": right})).status_code == 200
    made = (await browser.delete(path, headers=bearer)).json()["NewPassword"]
    assert (await browser.get(path, headers=bearer)).json() == {"isExpired": True}
    assert org.sign_in.passwords.of(org.admin.username).password == made


async def test_inactive_users_and_foreign_addresses(browser, org: Org, client) -> None:
    form = {**client, "grant_type": "client_credentials"}
    org.sign_in.policy.login_ranges = networks(["10.0.0.0/8"])
    answer = await browser.post(TOKEN, data=form)
    assert answer.json() == {"error": "invalid_grant", "error_description": "ip restricted"}
    org.sign_in.policy.login_ranges = networks(["127.0.0.0/8"])
    token = (await browser.post(TOKEN, data=form)).json()["access_token"]
    org.admin.active = False
    assert (await browser.post(TOKEN, data=form)).json()["error_description"] == "inactive user"
    assert (await browser.get(f"{V}/limits", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    statuses = [entry["Status"] for entry in (await browser.get("/_org/logins")).json()]
    assert statuses == ["Restricted IP", "Success", "User is Inactive"]


async def test_client_credentials_need_the_my_domain_and_a_user(browser, org: Org, client) -> None:
    form = {**client, "grant_type": "client_credentials"}
    answer = await browser.post(f"https://login.salesforce.com{TOKEN}", data=form)
    assert answer.json()["error_description"] == "request not supported on this domain"
    answer = await browser.post(f"https://{org.domain_host}{TOKEN}", data=form)
    assert answer.json()["instance_url"] == f"https://{org.domain_host}"
    org.app.run_as = None
    assert (await browser.post(TOKEN, data=form)).json()["error_description"] == "no client credentials user enabled"


async def test_device_flow(browser, org: Org, client) -> None:
    ask = {"response_type": "device_code", "client_id": client["client_id"], "scope": "api refresh_token"}
    device = (await browser.post(TOKEN, data=ask)).json()
    assert set(device) == {"device_code", "user_code", "verification_uri", "interval"}
    poll = {"grant_type": "device", "client_id": client["client_id"], "code": device["device_code"]}
    assert [(await browser.post(TOKEN, data=poll)).json()["error"] for _ in range(2)] == [
        "authorization_pending",
        "slow_down",
    ]
    assert (await browser.get(device["verification_uri"])).status_code == 302  # sign in first
    await log_in(browser, org)
    assert "not valid" in (await browser.post("/setup/connect", data={"user_code": "XXXX"})).text
    page = await browser.post("/setup/connect", data={"user_code": device["user_code"].lower()})
    assert "Connected" in (await browser.post("/setup/connect", data={**fields(page.text), "save": "Allow"})).text
    answer = (await browser.post(TOKEN, data=poll)).json()
    assert answer["refresh_token"].startswith("5Aep")
    assert (await browser.post(TOKEN, data=poll)).json()["error"] == "invalid_grant"
    second = (await browser.post(TOKEN, data=ask)).json()
    page = await browser.post("/setup/connect", data={"user_code": second["user_code"]})
    await browser.post("/setup/connect", data={**fields(page.text), "cancel": "Deny"})
    assert (await browser.post(TOKEN, data={**poll, "code": second["device_code"]})).json()["error"] == "access_denied"


async def test_introspection(browser, org: Org, client) -> None:
    token = (await browser.post(TOKEN, data={**client, "grant_type": "client_credentials"})).json()["access_token"]
    answer = (await browser.post("/services/oauth2/introspect", data={**client, "token": token})).json()
    assert set(answer) == {"active", "scope", "client_id", "username", "sub", "token_type", "exp", "iat", "nbf"}
    assert (answer["active"], answer["username"], answer["exp"] - answer["iat"]) == (True, org.admin.username, 7200)
    assert (await browser.post("/services/oauth2/introspect", data={**client, "token": "x"})).json() == {
        "active": False
    }
    wrong = await browser.post("/services/oauth2/introspect", data={**client, "client_secret": "x", "token": token})
    assert wrong.json()["error"] == "invalid_client"
    other = await browser.post("/_org/apps", json={"client_id": "other", "client_secret": "s"})
    assert other.status_code == 200
    foreign = {"client_id": "other", "client_secret": "s", "token": token}
    assert (await browser.post("/services/oauth2/introspect", data=foreign)).json() == {"active": False}


async def test_openid(browser, org: Org, client) -> None:
    code = await code_for(browser, org, scope="openid api", nonce="n1")
    form = {**client, "grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    answer = (await browser.post(TOKEN, data=form)).json()
    where = (await browser.get("/.well-known/openid-configuration")).json()
    keys = KeySet.import_key_set((await browser.get(where["jwks_uri"])).json())
    claims = jwt.decode(answer["id_token"], keys, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == ("http://org", org.app.client_id, "n1")
    assert claims["sub"] == answer["id"]
    assert "d" not in (await browser.get(where["jwks_uri"])).json()["keys"][0]


async def test_identity_and_userinfo(browser, org: Org, client) -> None:
    answer = (await browser.post(TOKEN, data={**client, "grant_type": "client_credentials"})).json()
    told = (await browser.get(answer["id"], params={"format": "json", "oauth_token": answer["access_token"]})).json()
    assert (told["user_id"], told["organization_id"], told["id"]) == (org.admin.id, org.id, answer["id"])
    assert told["urls"]["partner"] == f"http://org/services/Soap/u/{{version}}/{org.id}"
    assert {"photos", "addr_street", "mobile_phone", "status", "is_app_installed", "last_modified_date"} <= set(told)
    bearer = {"Authorization": "Bearer " + answer["access_token"]}
    told = (await browser.get("/services/oauth2/userinfo", headers=bearer)).json()
    assert list(told) == [
        "sub", "user_id", "organization_id", "preferred_username", "nickname", "name", "email", "email_verified",
        "given_name", "family_name", "zoneinfo", "photos", "profile", "picture", "address", "urls", "active",
        "user_type", "language", "locale", "utcOffset", "updated_at", "is_salesforce_integration_user",
    ]  # fmt: skip
    for headers, text in (({}, "Missing_OAuth_Token"), ({"Authorization": "Bearer x"}, "Bad_OAuth_Token")):
        refused = await browser.get("/services/oauth2/userinfo", headers=headers)
        assert (refused.status_code, refused.text) == (403, text)


async def test_401_says_what_is_wrong(browser, org: Org, client) -> None:
    only_id = org.sessions.open(org.admin, org.clock.now(), scopes=frozenset({"id"})).token
    for header, code, message in (
        (f"Bearer {only_id}", "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        ("Bearer 00Dx", "INVALID_SESSION_ID", "Session expired or invalid"),
        ("Digest abc", "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"),
        ("Bearer", "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"),
    ):
        answer = await browser.get(f"{V}/limits", headers={"Authorization": header})
        assert (answer.status_code, answer.json()) == (401, [{"message": message, "errorCode": code}])


async def test_sessions_slide_and_jwt_tokens_are_for_rest_only(browser, org: Org, client) -> None:
    await browser.post("/_org/apps", json={"jwt_access_tokens": True})
    token = (await browser.post(TOKEN, data={**client, "grant_type": "client_credentials"})).json()["access_token"]
    assert token.startswith("ey")
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(3):
        org.clock.advance(timedelta(minutes=90))
        assert (await browser.get(f"{V}/limits", headers=headers)).status_code == 200
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"><e:Header>'
        f"<SessionHeader><sessionId>{token}</sessionId></SessionHeader></e:Header><e:Body><getUserInfo/></e:Body></e:Envelope>"
    )
    answer = await browser.post("/services/Soap/u/59.0", content=body)
    assert (answer.status_code, "sf:INVALID_SESSION_ID" in answer.text) == (500, True)


async def test_single_access_signs_a_browser_in_once(browser, org: Org, client) -> None:
    token = (await browser.post(TOKEN, data={**client, "grant_type": "client_credentials"})).json()["access_token"]
    answer = await browser.post("/services/oauth2/singleaccess", data={"access_token": token})
    link = answer.json()["frontdoor_uri"]
    assert "sid=" in (await browser.get(link)).headers["set-cookie"]
    browser.cookies.clear()
    assert "set-cookie" not in (await browser.get(link)).headers


def soap_login(username: str, password: str, scope: str = "") -> str:
    header = (
        f"<n1:LoginScopeHeader><n1:organizationId>{scope}</n1:organizationId></n1:LoginScopeHeader>" if scope else ""
    )
    return (
        '<?xml version="1.0"?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:n1="urn:partner.soap.sforce.com"><env:Header>{header}</env:Header><env:Body><n1:login>'
        f"<n1:username>{username}</n1:username><n1:password>{password}</n1:password></n1:login></env:Body></env:Envelope>"
    )


@pytest.mark.parametrize("path", ["/services/Soap/u/59.0", "/services/Soap/c/50.0/", "/services/Soap/u/64.0/00D"])
async def test_soap_login(browser, org: Org, path: str) -> None:
    body = soap_login(org.admin.username, password_of(org, token=True), org.id)
    answer = await browser.post(path, content=body, headers={"SOAPAction": "login", "Content-Type": "text/xml"})
    assert answer.status_code == 200
    session = re.search("<sessionId>(.+)</sessionId>", answer.text)
    assert session is not None
    version, letter = path.split("/")[4], path.split("/")[3]
    assert f"<serverUrl>http://org/services/Soap/{letter}/{version}/{org.id}</serverUrl>" in answer.text
    assert "<sessionSecondsValid>7200</sessionSecondsValid>" in answer.text
    assert "<passwordExpired>false</passwordExpired><sandbox>false</sandbox>" in answer.text
    assert (await browser.get(f"{V}/limits", headers={"Authorization": f"OAuth {session[1]}"})).status_code == 200


async def test_soap_login_is_refused_in_the_words_that_clients_match(browser, org: Org) -> None:
    wrong = await browser.post("/services/Soap/u/59.0", content=soap_login(org.admin.username, "x"))
    text = "Invalid username, password, security token; or user locked out."
    assert wrong.status_code == 500
    assert (
        f"<faultcode>sf:INVALID_LOGIN</faultcode><faultstring>INVALID_LOGIN: {text}</faultstring><detail>"
        '<sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>'
        f"<sf:exceptionMessage>{text}</sf:exceptionMessage></sf:LoginFault></detail>" in wrong.text
    )
    right = soap_login(org.admin.username, password_of(org, token=True))
    cases = [
        (soap_login(org.admin.username, password_of(org, token=False)), "59.0", "sf:LOGIN_MUST_USE_SECURITY_TOKEN"),
        (soap_login(org.admin.username, password_of(org, token=True), "00D000000000001"), "59.0", "sf:INVALID_LOGIN"),
        (right, "65.0", "No operation available for request {urn:partner.soap.sforce.com}login"),
    ]
    for body, version, expected in cases:
        answer = await browser.post(f"/services/Soap/u/{version}", content=body)
        assert (answer.status_code, expected in answer.text) == (500, True)
    await browser.post("/_org/login-policy", json={"soap_login": False})
    assert "login() is disabled" in (await browser.post("/services/Soap/u/59.0", content=right)).text
