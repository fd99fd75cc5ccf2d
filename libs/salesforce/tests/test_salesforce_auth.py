"""Signing in, and to whom."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from holdfast.common.errors import HoldfastError, Kind
from holdfast.salesforce.auth import ClientCredentials, Grant, JwtBearer, Token, sign_in
from holdfast.salesforce.errors import SalesforceError
from holdfast.salesforce.hosts import salesforce_origin

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOME = "https://example.my.salesforce.com"
REPLY = {
    "access_token": "00D000000000001!AQ.secret",
    "instance_url": HOME,
    "id": "https://login.salesforce.com/id/00D000000000001AAA/005000000000001AAA",
    "issued_at": "1726235737296",
}
CREDENTIALS = ClientCredentials(HOME, "app", "hunter2")


async def ask(answer: httpx.Response | Exception, grant: Grant = CREDENTIALS) -> tuple[Token, httpx.Request]:
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http:
        return await sign_in(http, grant, now=NOW), sent[0]


async def refused(answer: httpx.Response | Exception, grant: Grant = CREDENTIALS) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        await ask(answer, grant)
    return caught.value


async def test_client_credentials() -> None:
    token, request = await ask(httpx.Response(200, json=REPLY))
    assert str(request.url) == f"{HOME}/services/oauth2/token"
    assert parse_qs(request.content.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["app"],
        "client_secret": ["hunter2"],
    }
    assert (token.organization_id, token.user_id) == ("00D000000000001AAA", "005000000000001AAA")
    assert token.issued_at.year == 2024


async def test_secrets_stay_out_of_repr() -> None:
    token, _ = await ask(httpx.Response(200, json=REPLY))
    assert "secret" not in repr(token)
    assert "hunter2" not in repr(CREDENTIALS)


async def test_jwt_bearer_signs_what_salesforce_asks_for() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    grant = JwtBearer(HOME, "app", "ann@example.com", pem, "https://login.salesforce.com")
    _, request = await ask(httpx.Response(200, json={**REPLY, "issued_at": None}), grant)
    form = parse_qs(request.content.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    claims = jwt.decode(form["assertion"][0], RSAKey.import_key(pem)).claims
    assert claims == {
        "iss": "app",
        "sub": "ann@example.com",
        "aud": "https://login.salesforce.com",
        "exp": int(NOW.timestamp()) + 180,
    }


async def test_key_that_is_no_key() -> None:
    grant = JwtBearer(HOME, "app", "ann@example.com", "not a key", "https://login.salesforce.com")
    error = await refused(httpx.Response(200, json=REPLY), grant)
    assert (error.kind, error.code, error.field) == (Kind.INVALID, "private-key-invalid", "secret")
    assert "not a key" not in str(error) + error.detail


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            {"error": "invalid_client", "error_description": "invalid client credentials"},
            Kind.INVALID,
            "secret",
        ),
        ({"error": "invalid_client_id"}, Kind.INVALID, "client id"),
        (
            {"error": "invalid_grant", "error_description": "user hasn't approved this consumer"},
            Kind.INVALID,
            "user hasn't approved this consumer",
        ),
        ({"error": "inactive_user"}, Kind.INVALID, "not active"),
        ({"error": "unsupported_grant_type"}, Kind.INVALID, "sign-in flow"),
    ],
)
async def test_refused_credentials(answer: dict[str, str], kind: Kind, words: str) -> None:
    error = await refused(httpx.Response(400, json=answer))
    assert error.kind is kind
    assert words in error.message


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html>hello</html>"),
        httpx.Response(404, html="<html>nothing here</html>"),
        httpx.Response(405, text="no"),
    ],
)
async def test_something_else_answers(answer: httpx.Response) -> None:
    error = await refused(answer)
    assert (error.kind, error.code) == (Kind.INVALID, "not-salesforce")


async def test_redirect_is_not_followed() -> None:
    error = await refused(httpx.Response(302, headers={"location": "https://evil.test/"}))
    assert error.code in {"not-salesforce", "redirect-refused"}


def caused(cause: Exception) -> httpx.ConnectError:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = ExceptionGroup("several", [cause]) if isinstance(cause, ConnectionRefusedError) else cause
    return error


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (caused(socket.gaierror(-2, "Name or service not known")), "host-not-found"),
        (caused(ConnectionRefusedError(111, "refused")), "connection-refused"),
        (caused(ssl.SSLCertVerificationError(1, "hostname mismatch")), "certificate-refused"),
        (httpx.ConnectTimeout("slow"), "connect-timeout"),
        (httpx.ReadTimeout("slow"), "answer-timeout"),
        (httpx.RemoteProtocolError("closed"), "answer-cut"),
    ],
)
async def test_unreachable(trouble: Exception, code: str) -> None:
    error = await refused(trouble)
    assert isinstance(error, SalesforceError)
    assert error.code == code
    assert "example.my.salesforce.com" in error.message


async def test_token_without_an_org_is_refused() -> None:
    error = await refused(httpx.Response(200, json={**REPLY, "id": "https://login.salesforce.com"}))
    assert error.code == "answer-unreadable"


async def test_token_for_a_foreign_host_is_refused() -> None:
    error = await refused(httpx.Response(200, json={**REPLY, "instance_url": "https://evil.test"}))
    assert error.code == "address-refused"


@pytest.mark.parametrize(
    "url",
    [
        "https://login.salesforce.com",
        "https://example.my.salesforce.com/",
        "https://example--dev.sandbox.my.salesforce.com:443/services",
        "https://example.my.salesforce.mil",
        " https://TEST.salesforce.com ",
    ],
)
def test_salesforce_addresses(url: str) -> None:
    assert salesforce_origin(url, allow_insecure=False) == f"https://{httpx.URL(url.strip()).host}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.my.salesforce.com",
        "http://example.my.salesforce.com",
        "ftp://example.my.salesforce.com",
        "https://salesforce.com.evil.test",
        "https://evilsalesforce.com",
        "https://user:password@example.my.salesforce.com",
        "https://user@example.my.salesforce.com",
        "https://evil.test\\@example.my.salesforce.com",
        "https://evil.test#.salesforce.com",
        "https://evil.test?.salesforce.com",
        "https://example.my.salesforce.com:8443",
        "https://example.my.salesforce.com:99999",
        "https://example.my.salesforce.com.",
        "https://exämple.my.salesforce.com",
        "https://169.254.169.254",
        "https://[::1]",
        "http://127.0.0.1:8080",
        "https://a b.my.salesforce.com",
        "https://" + "a" * 300 + ".my.salesforce.com",
    ],
)
def test_addresses_that_are_not_salesforces(url: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        salesforce_origin(url, allow_insecure=False, field="login_url")
    assert (caught.value.kind, caught.value.field) == (Kind.INVALID, "login_url")


def test_local_org_only_where_allowed() -> None:
    assert salesforce_origin("http://127.0.0.1:8080/x", allow_insecure=True) == "http://127.0.0.1:8080"
    assert salesforce_origin("http://localhost:8080", allow_insecure=True) == "http://localhost:8080"
    for url in ("http://10.0.0.1:8080", "http://127.0.0.1.evil.test"):
        with pytest.raises(HoldfastError):
            salesforce_origin(url, allow_insecure=True)
