"""Which hosts a credential may be sent to.

A login address and an instance address both come from outside (a form, a reply), and a token goes to
whatever they name. So only Salesforce's own domains are allowed, over https, on the default port.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from holdfast.common.errors import HoldfastError, Kind

# My Domain, login, test and instance hosts end in the first; Government Cloud Plus in the second.
_SUFFIXES = (".salesforce.com", ".salesforce.mil")
_LONGEST_URL = 255


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: gzip does not pay there, and a proxy must not be asked."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def salesforce_origin(url: str, *, allow_insecure: bool, field: str | None = None) -> str:
    """The scheme and authority of `url`, if a credential may be sent there.

    Args:
        url: An address as typed by a user or returned by Salesforce; a path is dropped.
        allow_insecure: Also accept loopback addresses over http, for a local org.
        field: Input field to name in the error.

    Raises:
        HoldfastError: INVALID with a sentence that says what is wrong with the address.
    """
    parts = _split(url.strip(), field)
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None:
        raise _refused("The address must not contain a user name or password.", field)
    if allow_insecure and is_loopback(host) and parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc}"
    if parts.scheme != "https":
        raise _refused("The address must start with https://; plain http would show the secret to the network.", field)
    if not host.endswith(_SUFFIXES):
        raise _refused(
            f"“{host[:100]}” is not a Salesforce address. Use your My Domain, such as "
            "https://example.my.salesforce.com.",
            field,
        )
    if parts.port not in (None, 443):
        raise _refused("A Salesforce address has no port.", field)
    return f"https://{host}"


def _split(url: str, field: str | None) -> SplitResult:
    if len(url) > _LONGEST_URL:
        raise _refused("The address is too long.", field)
    if not url.isascii() or any(character.isspace() or character == "\\" for character in url):
        raise _refused("The address contains characters that no Salesforce address has.", field)
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed lazily: raises here for a bad port
    except ValueError:
        raise _refused("The address is not a valid URL.", field) from None
    if not parts.scheme or not parts.hostname:
        raise _refused("The address must be a full URL, such as https://example.my.salesforce.com.", field)
    return parts


def _refused(sentence: str, field: str | None) -> HoldfastError:
    return HoldfastError(Kind.INVALID, sentence, code="address-refused", field=field)
