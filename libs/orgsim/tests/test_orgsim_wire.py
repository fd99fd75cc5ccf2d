"""The wire: status, headers and body shapes, without a socket."""

import base64
import time
from datetime import timedelta
from importlib import resources

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from holdfast.orgsim.schema.fields import FIELD_DEFAULTS

V = "/services/data/v62.0"


async def test_client_credentials_in_the_body_and_as_basic(api) -> None:
    body = {"grant_type": "client_credentials", "client_id": api.org.app.client_id, "client_secret": "secret"}
    answer = (await api.http.post("/services/oauth2/token", data=body)).json()
    assert set(answer) == {"access_token", "scope", "instance_url", "id", "token_type", "signature", "issued_at"}
    assert answer["access_token"].startswith(api.org.id[:15] + "!")
    basic = base64.b64encode(f"{api.org.app.client_id}:secret".encode()).decode()
    form = {"grant_type": "client_credentials"}
    answer = await api.http.post("/services/oauth2/token", data=form, headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [({"grant_type": "client_credentials", "client_secret": "secret", "client_id": "x"}, "invalid_client_id"),
     ({"grant_type": "client_credentials", "client_id": "3MVG9holdfast.orgsim.connected.app"}, "invalid_client"),
     ({"grant_type": "telepathy"}, "unsupported_grant_type"), ({}, "unsupported_grant_type"),
     ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x"}, "invalid_grant")],
)  # fmt: skip
async def test_token_errors_are_objects_with_400(api, form, error: str) -> None:
    answer = await api.http.post("/services/oauth2/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert "error_description" in answer.json()


@pytest.mark.parametrize("exp", [str, lambda now: now * 1000 + 300, lambda now: now, lambda _now: None])
async def test_jwt_bearer_is_lenient_about_exp(api, exp) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    api.org.app.public_key_pem = public.decode()
    claims = {"iss": api.org.app.client_id, "sub": api.org.admin.username, "aud": "https://login.salesforce.com",
              "exp": exp(int(time.time()))}  # fmt: skip
    claims = {key: value for key, value in claims.items() if value is not None}
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    good = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(pem), algorithms=["RS256"])
    answer = await api.http.post("/services/oauth2/token", data={**form, "assertion": good})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"access_token", "scope", "instance_url", "id", "token_type"}
    head, payload, signature = good.split(".")
    forged = ".".join([head, payload, signature[::-1]])
    answer = await api.http.post("/services/oauth2/token", data={**form, "assertion": forged})
    assert answer.json() == {"error": "invalid_grant", "error_description": "invalid assertion"}


async def test_an_expired_or_missing_session_is_401(api) -> None:
    api.org.clock.advance(timedelta(hours=2, seconds=1))
    answer = await api.http.get(f"{V}/limits")
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    assert answer.headers["WWW-Authenticate"] == "Token"
    await api.sign_in()
    assert (await api.http.get(f"{V}/limits")).status_code == 200
    token = api.http.headers["Authorization"].split()[1]
    assert (await api.http.post("/services/oauth2/revoke", data={"token": token})).status_code == 200
    assert (await api.http.get("/services/oauth2/userinfo")).text == "Bad_OAuth_Token"


async def test_versions_need_no_session_and_cost_nothing(api) -> None:
    used = api.org.accounting.total
    answer = await api.http.get("/services/data/", headers={"Authorization": ""})
    assert answer.json()[-1] == {"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}
    assert "sforce-limit-info" not in answer.headers
    assert api.org.accounting.total == used


async def test_limit_info_counts_and_the_limit_refuses(api) -> None:
    api.org.accounting.limit = 2
    answer = await api.http.get(V)
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/2"
    assert (await api.http.get(f"{V}/limits")).json()["DailyApiRequests"] == {"Max": 2, "Remaining": 0}
    answer = await api.http.get(V)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    api.org.clock.advance(timedelta(hours=24, minutes=1))
    await api.sign_in()
    assert (await api.http.get(V)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/services/data/v62.0/nope", 404, "NOT_FOUND"),
     ("PUT", "/services/data/v62.0/limits", 405, "METHOD_NOT_ALLOWED"),
     ("GET", "/services/data/v99.0/limits", 404, "NOT_FOUND"),
     ("GET", "/services/data/v24.0/limits", 410, "UNSUPPORTED_API_VERSION"),
     ("GET", "/services/data/v62.0/sobjects/Nope/describe", 404, "NOT_FOUND"),
     ("GET", "/services/data/v62.0/query", 400, "MALFORMED_QUERY"),
     ("GET", "/services/data/v62.0/query/0r8Hs0000000001IAA-2000", 400, "INVALID_QUERY_LOCATOR"),
     ("GET", "/services/data/v62.0/sobjects/Account/001Hs0000099999AAA", 404, "NOT_FOUND"),
     ("POST", "/services/data/v62.0/sobjects/Account", 400, "JSON_PARSER_ERROR")],
)  # fmt: skip
async def test_errors_are_arrays(api, method: str, path: str, status: int, code: str) -> None:
    answer = await api.http.request(method, path)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)
    assert answer.headers["content-type"] == "application/json;charset=UTF-8"


@pytest.mark.parametrize("path", ["/services/data/v62.0//query/", "http://org//services/data/v37.0/query//"])
async def test_doubled_and_trailing_slashes(api, path: str) -> None:
    answer = await api.http.get(path, params={"q": "SELECT COUNT() FROM Account"})
    assert answer.json() == {"totalSize": 0, "done": True, "records": []}


@pytest.mark.parametrize(
    "name", ["Account", "Case", "Contact", "Event", "Lead", "Opportunity", "OpportunityContactRole"]
)
async def test_a_pristine_describe_equals_the_recording(api, name: str) -> None:
    recorded = orjson.loads((resources.files("holdfast.orgsim.schema") / "recorded" / f"{name}.json").read_bytes())
    assert (await api.http.get(f"{V}/sobjects/{name}/describe")).json() == recorded
    assert {key for f in recorded["fields"] for key in f} == set(FIELD_DEFAULTS)


async def test_describe_answers_304_until_it_changes(api) -> None:
    answer = await api.http.get(f"{V}/sobjects/Account/describe")
    for headers in ({"If-None-Match": answer.headers["ETag"]}, {"If-Modified-Since": answer.headers["Last-Modified"]}):
        again = await api.http.get(f"{V}/sobjects/Account/describe", headers=headers)
        assert (again.status_code, again.content) == (304, b"")
    api.org.admin.hidden_fields = frozenset({("Account", "Fax")})
    fresh = await api.http.get(f"{V}/sobjects/Account/describe", headers={"If-None-Match": answer.headers["ETag"]})
    assert fresh.status_code == 200
    assert "Fax" not in {f["name"] for f in fresh.json()["fields"]}


async def test_every_object_of_describe_global_can_be_described(api) -> None:
    listed = (await api.http.get(f"{V}/sobjects")).json()["sobjects"]
    api.org.schema.define("Thing__c")
    for entry in listed:
        if entry["queryable"]:
            answer = await api.http.get(f"{V}/sobjects/{entry['name']}/describe")
            assert answer.status_code == 200, entry["name"]
    names = {e["name"] for e in (await api.http.get(f"{V}/sobjects")).json()["sobjects"]}
    assert {"Thing__c", "Account", "Event"} <= names


async def test_gzip_only_for_those_who_ask(api) -> None:
    plain = await api.http.get(f"{V}/sobjects/Account/describe", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = await api.http.get(f"{V}/sobjects/Account/describe", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()


async def test_faults_strike_by_method_route_and_count(api) -> None:
    fault = {"method": "GET", "path": "/limits$", "skip": 1, "count": 2, "effect": {"status": 503, "body": "down"}}
    assert (await api.http.post("/_org/faults", json=fault)).status_code == 200
    seen = [(await api.http.get(f"{V}/limits")).status_code for _ in range(4)]
    assert seen == [200, 503, 503, 200]
    await api.http.delete("/_org/faults")
    await api.http.post("/_org/faults", json={"effect": {"html": True}})
    answer = await api.http.get(V)
    assert (answer.status_code, answer.headers["content-type"][:9]) == (503, "text/html")
    await api.http.post("/_org/faults", json={"effect": {"expire_sessions": True}})
    assert (await api.http.get(V)).status_code == 401
    assert (await api.http.post("/_org/faults", json={"effect": {"nope": 1}})).status_code == 400


async def test_bulk_jobs_can_fail_and_hang(api) -> None:
    body = {"operation": "query", "query": "SELECT Id FROM Account"}
    for how, state in (("Failed", "Failed"), ("stuck", "InProgress")):
        job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
        await api.http.post("/_org/faults", json={"path": "/jobs/query/", "effect": {"job": how}})
        assert (await api.http.get(f"{V}/jobs/query/{job}")).json()["state"] == state
        assert (await api.http.get(f"{V}/jobs/query/{job}")).json()["state"] == state


async def test_admin_defines_objects_and_loads_strange_rows(api) -> None:
    rows = [{"Name": "NA", "T__c": "null", "D__c": "123456789012345678", "B__c": True, "L__c": "a\r\nb\x00" * 9},
            {"Name": "00123", "T__c": "1e3", "When__c": "1700-01-01T00:00:00Z"}]  # fmt: skip
    fields = [{"name": "T__c"}, {"name": "D__c", "type": "double"}, {"name": "B__c", "type": "boolean"},
              {"name": "L__c", "type": "textarea"}, {"name": "When__c", "type": "datetime"}]  # fmt: skip
    answer = await api.http.post("/_org/objects", json={"name": "S__c", "fields": fields, "rows": rows})
    ids = answer.json()["ids"]
    state = [orjson.loads(line) for line in (await api.http.get("/_org/state?object=S__c")).content.splitlines()]
    assert [r["Id"] for r in state] == ids
    assert [r["Name"] for r in state] == ["NA", "00123"]
    assert (state[0]["D__c"], state[0]["L__c"], state[0]["B__c"]) == ("123456789012345678.0", "a\r\nb\x00" * 9, "true")
    assert (state[1]["B__c"], state[1]["When__c"]) == ("false", "1700-01-01T00:00:00.000Z")
    ledger = [orjson.loads(line) for line in (await api.http.get("/_org/ledger?object=S__c")).content.splitlines()]
    assert [(e["op"], e["rows"]) for e in ledger] == [("loaded", 2)]
    await api.http.patch(f"{V}/sobjects/S__c/{ids[0]}", json={"T__c": ""})
    since = ledger[-1]["seq"]
    entry = orjson.loads((await api.http.get(f"/_org/ledger?since={since}")).content)
    assert (entry["op"], entry["before"]["T__c"], entry["values"]["T__c"]) == ("update", "null", None)
