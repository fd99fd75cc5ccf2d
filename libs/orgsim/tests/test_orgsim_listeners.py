"""https on the org's own CA, the forward proxy, and clients whose hosts are fixed."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from holdfast.orgsim.listeners.authority import Authority
from holdfast.orgsim.listeners.hosts import come_back, is_ours
from holdfast.orgsim.testing import RunningOrg, start_org

V = "/services/data/v62.0"


@pytest.mark.parametrize(
    ("header", "back"),
    [("127.0.0.1:8080", "https://127.0.0.1:8080"), ("[::1]:8443", "https://[::1]:8443"),
     ("login.salesforce.com", "https://acme.my.salesforce.com"),
     ("test.salesforce.com:8443", "https://acme.my.salesforce.com:8443"),
     ("Other.my.salesforce.com", "https://other.my.salesforce.com"), ("a b", None), ("", None),
     ('x"><script>', None)],
)  # fmt: skip
def test_a_client_comes_back_where_it_came_from(header: str, back: str | None) -> None:
    assert come_back("https", header, "acme.my.salesforce.com") == back


@pytest.mark.parametrize(
    ("host", "ours"),
    [("login.salesforce.com", True), ("acme--uat.sandbox.my.salesforce.com", True), ("uat.localhost", True),
     ("example.com", False), ("my.salesforce.com", False), ("acme.my.salesforce.com.example.com", False),
     ("169.254.169.254", False), ("salesforce.com", False)],
)  # fmt: skip
def test_only_the_hosts_of_the_certificate_are_ours(host: str, ours: bool) -> None:
    assert is_ours(host) is ours


def test_the_authority_is_kept_and_its_key_is_private(tmp_path: Path) -> None:
    first, again = Authority.at(tmp_path), Authority.at(tmp_path)
    assert again.certificate == first.certificate
    assert (tmp_path / "ca-key.pem").stat().st_mode & 0o077 == 0
    limits = first.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    assert x509.DNSName("my.salesforce.com") in (limits.permitted_subtrees or [])
    assert first.certificate.not_valid_after_utc > datetime.now(UTC)


@pytest.fixture(scope="module")
def served() -> Iterator[RunningOrg]:
    with start_org() as org:
        yield org


@pytest.fixture
def trusting(served: RunningOrg) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=served.ca_file)


@pytest.mark.integration
def test_https_answers_and_is_where_the_client_comes_back(served: RunningOrg, trusting: ssl.SSLContext) -> None:
    form = {"grant_type": "client_credentials", "client_id": served.client_id, "client_secret": served.client_secret}
    with httpx.Client(verify=trusting, trust_env=False) as http:
        for base in (served.https_url, served.https_url.replace("localhost", "127.0.0.1")):
            answer = http.post(f"{base}/services/oauth2/token", data=form).json()
            assert answer["instance_url"] == base
            auth = {"Authorization": "Bearer " + answer["access_token"]}
            assert http.get(f"{base}{V}/sobjects/Account/describe", headers=auth).json()["name"] == "Account"
    with httpx.Client(trust_env=False) as stranger, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY"):
        stranger.get(f"{served.https_url}/services/data")


@pytest.mark.integration
def test_the_proxy_leads_fixed_hosts_to_the_org(served: RunningOrg, trusting: ssl.SSLContext) -> None:
    form = {"client_id": served.client_id, "client_secret": served.client_secret, "username": served.username,
            "grant_type": "password", "password": served.password + served.security_token}  # fmt: skip
    with httpx.Client(proxy=served.proxy_url, verify=trusting, trust_env=False) as http:
        answer = http.post("https://login.salesforce.com/services/oauth2/token", data=form).json()
        assert answer["instance_url"] == f"https://{served.domain}"
        auth = {"Authorization": "Bearer " + answer["access_token"]}
        for host in (served.domain, "acme--uat.sandbox.my.salesforce.com", "test.salesforce.com"):
            assert http.get(f"https://{host}{V}/limits", headers=auth).status_code == 200
        assert len(http.get(f"https://{served.domain}{V}/sobjects", headers=auth).content) > 90_000
        with pytest.raises(httpx.ProxyError, match="403"):
            http.get("https://example.com/")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("request_head", "status"),
    [(b"GET http://login.salesforce.com/ HTTP/1.1\r\n\r\n", b"405"), (b"CONNECT nonsense\r\n\r\n", b"405"),
     (b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", b"403"), (b"CONNECT 127.0.0.2:22 HTTP/1.1\r\n\r\n", b"403"),
     (b"CONNECT " + b"x" * 20_000, b"431")],
)  # fmt: skip
def test_the_proxy_refuses_everything_else(served: RunningOrg, request_head: bytes, status: bytes) -> None:
    url = httpx.URL(served.proxy_url)
    with socket.create_connection((url.host, url.port), timeout=5) as connection:
        connection.sendall(request_head)
        assert connection.makefile("rb").readline().split(b" ")[1] == status


@pytest.mark.integration
def test_simple_salesforce_by_proxy_and_ca_variables_alone(served: RunningOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", served.proxy_url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", served.ca_file)
    monkeypatch.setenv("NO_PROXY", "")
    domain = served.domain.removesuffix(".salesforce.com")
    client = Salesforce(
        consumer_key=served.client_id,
        consumer_secret=served.client_secret,
        domain=domain,
    )
    assert client.sf_instance == served.domain
    by_password = Salesforce(username=served.username, password=served.password, security_token=served.security_token)
    assert by_password.sf_instance == served.domain
    with pytest.raises(SalesforceAuthenticationFailed) as refused:
        Salesforce(username=served.username, password="wrong", security_token="", domain="test")
    assert refused.value.code == "INVALID_LOGIN"
    made = client.Account.create({"Name": "By proxy"})
    assert client.query(f"SELECT Name FROM Account WHERE Id = '{made['id']}'")["records"][0]["Name"] == "By proxy"


@pytest.mark.integration
def test_no_https_if_not_wanted_and_the_ca_outlives_a_restart(tmp_path: Path) -> None:
    with start_org(extra=["--no-https"]) as org:
        assert (org.https_url, org.proxy_url, org.ca_file) == (None, None, None)
    files = []
    for _ in range(2):
        with start_org(data_dir=tmp_path) as org:
            files.append((org.ca_file, Path(org.ca_file or "").read_bytes()))
    assert files[0] == files[1]
    assert files[0][0] == str(tmp_path / "ca.pem")
