"""Signing in by username and password: security tokens, lock-out, login hours by IP, and the login history."""

from __future__ import annotations

import ipaddress
import secrets
import string
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from holdfast.orgsim.auth.access import User

ATTEMPTS, LOCKED_FOR = 10, timedelta(minutes=15)
HISTORY_ENTRIES = 20_000  # the platform keeps as many rows for download
_ALPHABET = string.ascii_letters + string.digits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refusal(Enum):
    """Why a login did not succeed, as the login history words it."""

    PASSWORD = "Invalid Password"  # noqa: S105 - the platform's word for a refusal
    LOCKED = "Password Lockout"
    INACTIVE = "User is Inactive"
    IP = "Restricted IP"
    TOKEN = "Invalid Security Token"  # noqa: S105 - the platform's word for a refusal
    OFF = "Login Method Disabled"


class LoginRefusedError(Exception):
    """A login that did not succeed."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass
class Credentials:
    """A user's password and security token; `expired`: the user has to choose a new password."""

    password: str = field(default_factory=lambda: "".join(secrets.choice(_ALPHABET) for _ in range(16)))
    security_token: str = field(default_factory=lambda: "".join(secrets.choice(_ALPHABET) for _ in range(24)))
    expired: bool = False
    failures: int = 0
    locked_until: datetime | None = None

    def choose(self, password: str, *, expired: bool = False) -> None:
        """Set the password; `expired` if the user has to choose another at the next login."""
        self.password, self.expired, self.failures, self.locked_until = password, expired, 0, None

    def locked(self, now: datetime) -> bool:
        """Whether the user is locked out."""
        return self.locked_until is not None and now < self.locked_until


@dataclass
class LoginPolicy:
    """Who may sign in from where, and by which of the older ways. No `login_ranges`: from everywhere.

    From `trusted_ranges` a password needs no security token.
    """

    login_ranges: tuple[Network, ...] = ()
    trusted_ranges: tuple[Network, ...] = ()
    password_flow: bool = True
    soap_login: bool = True

    def admits(self, ip: str) -> bool:
        """Whether logins from the address are allowed."""
        return not self.login_ranges or _within(ip, self.login_ranges)

    def trusts(self, ip: str) -> bool:
        """Whether the address is within the company's networks."""
        return _within(ip, self.trusted_ranges)


@dataclass(frozen=True)
class LoginEntry:
    """A line of the login history."""

    at: datetime
    username: str
    login_type: str
    source_ip: str
    status: str
    application: str
    login_url: str


class Passwords:
    """Credentials of an org's users; a user gets random ones when first asked for."""

    def __init__(self, users: Mapping[str, User], policy: LoginPolicy) -> None:
        self._users = users
        self.policy = policy
        self._by_user: dict[str, Credentials] = {}

    def of(self, username: str) -> Credentials:
        """The credentials of a user; they stay the same when the username changes."""
        user = self._users.get(username)
        return self._by_user.setdefault(username if user is None else user.id, Credentials())

    def check(self, username: str, password: str, *, ip: str, now: datetime, with_token: bool) -> User:
        """The user who signs in. With `with_token` (API logins) the security token is appended to the password.

        Raises:
            LoginRefusedError: ten wrong passwords lock the user out for 15 minutes.
        """
        user = self._users.get(username)
        if user is None:
            raise LoginRefusedError(Refusal.PASSWORD)
        known = self.of(username)
        if known.locked(now):
            raise LoginRefusedError(Refusal.LOCKED)
        if not self._right(known, password, ip, with_token=with_token):
            self._failed(known, now)
            raise LoginRefusedError(Refusal.TOKEN if _same(password, known.password) else Refusal.PASSWORD)
        if not user.active:
            raise LoginRefusedError(Refusal.INACTIVE)
        if not self.policy.admits(ip):
            raise LoginRefusedError(Refusal.IP)
        known.failures = 0
        return user

    def _right(self, known: Credentials, given: str, ip: str, *, with_token: bool) -> bool:
        if with_token and _same(given, known.password + known.security_token):
            return True
        return (not with_token or self.policy.trusts(ip)) and _same(given, known.password)

    def _failed(self, known: Credentials, now: datetime) -> None:
        known.failures += 1
        if known.failures >= ATTEMPTS:
            known.locked_until, known.failures = now + LOCKED_FOR, 0


class LoginHistory:
    """The latest attempts to sign in, oldest first."""

    def __init__(self) -> None:
        self.entries: deque[LoginEntry] = deque(maxlen=HISTORY_ENTRIES)

    def add(self, entry: LoginEntry) -> None:
        """Note an attempt."""
        self.entries.append(entry)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Address ranges in CIDR form.

    Raises:
        ValueError: a text is none.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def _within(ip: str, ranges: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(address in network for network in ranges)


def _same(left: str, right: str) -> bool:
    return secrets.compare_digest(left.encode(), right.encode())
