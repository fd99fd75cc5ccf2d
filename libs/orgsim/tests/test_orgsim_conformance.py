"""The table of conformance/*.yaml against the org: what each endpoint answers, as Salesforce documents it.

A row names the `section` of Salesforce's documentation and a `case`; says what is sent (`given` names steps of
`setups.yaml` that come first, `{name}` stands for a value that a step kept) and what is answered: `status`,
`headers`, and one of `json`, `text`, `contains`, `elements`, `csv`. How expected values are written stands at
`matches`. `as: nobody` sends no token.
"""

import base64
import csv
import io
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.orgsim.api.app import OrgApp, make_router
from holdfast.orgsim.org import Org

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TABLE = Path(__file__).parent / "conformance"
SETUPS: dict[str, list[dict[str, Any]]] = yaml.safe_load((TABLE / "setups.yaml").read_text())
SETUPS["450 records"] = [
    {
        "send": "POST /_org/objects",
        "as": "nobody",
        "body": {"name": "Many__c", "fields": [], "rows": [{"Name": str(n)} for n in range(450)]},
    }
]
ROWS: list[dict[str, Any]] = [
    row for path in sorted(TABLE.glob("*.yaml")) if path.stem != "setups" for row in yaml.safe_load(path.read_text())
]
KINDS = {
    "<id>": r"[a-zA-Z0-9]{15}[A-Z0-5]{3}",
    "<datetime>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000",
    "<datetime Z>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z",
    "<date>": r"\d{4}-\d\d-\d\d",
    "<millis>": r"\d{13}",
    "<string>": r"(?s).*",
    "<text>": r"(?s).+",
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "<int>": int, "<number>": (int, float), "<bool>": bool, "<list>": list, "<object>": dict,
}  # fmt: skip


def matches(expected: Any, found: Any, at: str = "$") -> list[str]:
    """How `found` differs from `expected`.

    `<kind>` is any value of that kind, `<kind or null>` may be null as well, `/…/` a regular expression for the whole
    text, `"..."` as the last of a list: any number more like the one before it, `...:` in an object: more keys.
    All else is literal; objects have exactly the keys named.
    """
    if isinstance(expected, dict):
        return _object_matches(expected, found, at)
    if isinstance(expected, list):
        return _list_matches(expected, found, at)
    if isinstance(expected, str) and re.fullmatch(r"<[\w ]+>|/.*/", expected, re.DOTALL):
        return [] if _pattern_matches(expected, found) else [f"{at}: expected {expected}, found {found!r}"]
    same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return [] if same else [f"{at}: expected {expected!r}, found {found!r}"]


def _pattern_matches(expected: str, found: Any) -> bool:
    if expected.startswith("/"):
        return isinstance(found, str) and re.fullmatch(expected[1:-1], found, re.DOTALL) is not None
    if expected.endswith(" or null>"):
        return found is None or _pattern_matches(expected.replace(" or null", ""), found)
    if expected in TYPES:
        return isinstance(found, TYPES[expected]) and (expected == "<bool>" or not isinstance(found, bool))
    return isinstance(found, str) and re.fullmatch(KINDS[expected], found) is not None


def _object_matches(expected: dict[str, Any], found: Any, at: str) -> list[str]:
    if not isinstance(found, dict):
        return [f"{at}: expected an object, found {found!r}"]
    more = "..." in expected
    named = {key: value for key, value in expected.items() if key != "..."}
    wrong = [f"{at}: {key} is absent" for key in named if key not in found]
    if not more:
        wrong += [f"{at}: {key} was not expected" for key in found if key not in named]
    for key in named.keys() & found.keys():
        wrong += matches(named[key], found[key], f"{at}.{key}")
    return wrong


def _list_matches(expected: list[Any], found: Any, at: str) -> list[str]:
    if not isinstance(found, list):
        return [f"{at}: expected a list, found {found!r}"]
    wanted = list(expected)
    if wanted and wanted[-1] == "...":
        wanted = wanted[:-1] + [wanted[-2]] * (len(found) - len(wanted) + 1)
    if len(wanted) != len(found):
        return [f"{at}: expected {len(wanted)} elements, found {len(found)}: {found!r}"]
    return [line for n, pair in enumerate(zip(wanted, found, strict=True)) for line in matches(*pair, f"{at}[{n}]")]


class Session:
    """Sends the steps of one row to an org and remembers what they kept."""

    def __init__(self, http: httpx.AsyncClient, kept: dict[str, str]) -> None:
        self.http = http
        self.kept = {"data": "/services/data/v62.0", "async": "/services/async/62.0"} | kept

    def fill(self, value: Any) -> Any:
        """`{name}` replaced by what was kept under that name."""
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda found: self.kept.get(found[1], found[0]), value)
        if isinstance(value, dict):
            return {self.fill(key): self.fill(each) for key, each in value.items()}
        return [self.fill(each) for each in value] if isinstance(value, list) else value

    async def send(self, step: dict[str, Any]) -> httpx.Response:
        """Send one step, and keep what it asks to keep."""
        method, path = self.fill(step["send"]).split(" ", 1)
        headers = {"Authorization": "Bearer " + self.kept["token"]} if step.get("as") != "nobody" else {}
        headers |= {name: str(value) for name, value in self.fill(step.get("with headers", {})).items()}
        content: bytes | None = None
        if "form" in step:
            content = urlencode(self.fill(step["form"])).encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif "body" in step:
            body = self.fill(step["body"])
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if "query" in step:
            path += "?" + urlencode(self.fill(step["query"]))
        answer = await self.http.request(method, path, content=content, headers=headers)
        if "keep" in step:
            assert answer.is_success, f"{step['send']}: {answer.status_code} {answer.text}"
        for name, where in step.get("keep", {}).items():
            self.kept[name] = _found(answer, where)
        return answer


def _found(answer: httpx.Response, where: str) -> str:
    if where.startswith("/"):
        found = re.search(where[1:-1], answer.text)
        assert found, f"{where} not in {answer.text}"
        return found[1]
    if where.startswith("header "):
        return answer.headers[where.removeprefix("header ")]
    value: Any = answer.json()
    for part in where.split("."):
        value = value[int(part)] if part.isdigit() else value[part]
    return str(value)


def differences(row: dict[str, Any], answer: httpx.Response) -> list[str]:
    """How an answer differs from the row's expectation."""
    wrong = [] if answer.status_code == row["status"] else [f"status {answer.status_code}"]
    for name, value in row.get("headers", {}).items():
        wrong += matches(value, answer.headers.get(name), name)
    if "json" in row:
        wrong += matches(row["json"], answer.json())
    if "text" in row:
        wrong += matches(row["text"], answer.text)
    wrong += [f"{part!r} is not in the body" for part in row.get("contains", []) if part not in answer.text]
    if "elements" in row:
        names = [re.sub(r"\{.*\}", "", child.tag) for child in ElementTree.fromstring(answer.content)]
        wrong += matches(row["elements"], names, "elements")
    if "csv" in row:
        wrong += matches(row["csv"], list(csv.reader(io.StringIO(answer.text, newline=""))), "csv")
    return wrong


def signing_in(org: Org) -> dict[str, str]:
    """What rows about signing in send; the assertions are signed with the key that the org's app now knows."""
    org.app.public_key_pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    claims = {
        "iss": org.app.client_id,
        "sub": org.admin.username,
        "aud": "https://login.salesforce.com",
        "exp": str(int(org.clock.now().timestamp()) + 180),
    }
    return {
        "secret": "secret",
        "client": org.app.client_id,
        "basic": base64.b64encode(f"{org.app.client_id}:secret".encode()).decode(),
        "org": org.id,
        "user": org.admin.id,
        "username": org.admin.username,
        "assertion": signed(claims),
        "assertion_of_nobody": signed(claims | {"sub": "nobody@example.com"}),
        "assertion_elsewhere": signed(claims | {"aud": "https://example.com"}),
    }


def signed(claims: dict[str, str]) -> str:
    """A JWT, RS256."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "RS256"}, claims)]
    signature = KEY.sign(b".".join(parts), PKCS1v15(), SHA256())
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['section']} - {row['case']}")
async def test_conformance(row: dict[str, Any], org: Org) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(OrgApp(org)), base_url="http://org") as http:
        now = org.clock.now()
        hour_ago, soon = (f"{now + timedelta(minutes=n):%Y-%m-%dT%H:%M:%SZ}" for n in (-60, 4))
        session = Session(http, signing_in(org) | {"start": hour_ago, "end": soon})
        for step in [step for name in ["session", *row.get("given", [])] for step in SETUPS[name]]:
            await session.send(step)
        answer = await session.send(row)
        wrong = differences(session.fill(row), answer)
    assert not wrong, "\n".join([*wrong, f"{answer.status_code} {dict(answer.headers)}", answer.text[:3000]])


def test_every_endpoint_has_a_row() -> None:
    router = make_router()
    steps = [*ROWS, *(step for setup in SETUPS.values() for step in setup)]
    sent = {"data": "/services/data/v62.0", "async": "/services/async/62.0"}
    asked = set()
    for step in steps:
        method, path = step["send"].split("?")[0].split(" ", 1)
        path = re.sub(r"\{(\w+)\}", lambda found: sent.get(found[1], "x"), path).rstrip("/")
        try:
            asked.add(router.find(method, path)[0].template + " " + method)
        except Exception:  # a row about a path or method that does not exist
            continue
    routes = {f"{route.template} {route.method}" for route in router.routes if not route.template.startswith("/_org")}
    missing = sorted(routes - asked)
    assert not missing, "\n".join(missing)
