"""Host names: which of them this process answers for, and where a client that used one comes back to."""

from __future__ import annotations

import re

LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
WILDCARDS = (
    "*.my.salesforce.com",
    "*.sandbox.my.salesforce.com",
    "*.develop.my.salesforce.com",
    "*.scratch.my.salesforce.com",
)
_MY_DOMAIN = re.compile(r"([a-z0-9-]+)(?:\.(?:sandbox|develop|scratch))?\.my\.salesforce\.com")
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE)


def split_host(header: str) -> tuple[str, str] | None:
    """Name (lower case, no brackets) and port (`:8443` or empty) of a Host header; None if it is not one."""
    match = _HOST.fullmatch(header.strip())
    return None if match is None else (match[1].strip("[]").lower(), match[2] or "")


def my_domain(host: str) -> str | None:
    """The name before `.my.salesforce.com`: `acme`, or `acme--uat` of a sandbox."""
    match = _MY_DOMAIN.fullmatch(host)
    return None if match is None else match[1]


def is_ours(host: str) -> bool:
    """Whether the certificate holds for the host, so that a tunnel to it may end here."""
    return host in LOGIN_HOSTS or host in LOCAL_HOSTS or my_domain(host) is not None or host.endswith(".localhost")


def come_back(scheme: str, header: str, domain_host: str) -> str | None:
    """The instance URL for a client that used this Host header.

    Login hosts lead to the org's My Domain (`domain_host`) on the same port, every other host to itself. None if the
    header is no host name.
    """
    parts = split_host(header)
    if parts is None:
        return None
    host, port = parts
    if host in LOGIN_HOSTS:
        return f"{scheme}://{domain_host}{port}"
    return f"{scheme}://{header.strip().lower()}"
