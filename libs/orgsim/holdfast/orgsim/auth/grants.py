"""What is handed out on the way to a token: authorization codes, refresh tokens, device codes."""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.apps import ConnectedApp

CODE_LIFETIME = timedelta(minutes=15)
DEVICE_LIFETIME = timedelta(minutes=10)
POLL_INTERVAL_S = 5
_USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ23456789"  # nothing that is misread


@dataclass(frozen=True)
class Code:
    """An authorization code: good once, for the app and the address it was made for."""

    app: ConnectedApp
    user: User
    redirect_uri: str
    scopes: frozenset[str]
    challenge: str | None
    nonce: str | None
    expires: datetime

    def answers(self, verifier: str) -> bool:
        """Whether the verifier is the one whose challenge (S256) came with the request."""
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        return self.challenge is not None and secrets.compare_digest(digest, self.challenge.rstrip("="))


@dataclass
class RefreshToken:
    """A refresh token, good until it is revoked, rotated or too old."""

    value: str
    app: ConnectedApp
    user: User
    scopes: frozenset[str]
    issued: datetime

    def expired(self, now: datetime) -> bool:
        """Whether the app's policy has ended it."""
        return self.app.refresh_lifetime is not None and self.issued + self.app.refresh_lifetime <= now


class DeviceState(Enum):
    """What the user has said so far."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass
class DeviceRequest:
    """A device that waits for its user to enter the code."""

    code: str
    user_code: str
    app: ConnectedApp
    scopes: frozenset[str]
    expires: datetime
    state: DeviceState = DeviceState.PENDING
    user: User | None = None
    polled: float | None = None


class Grants:
    """Codes and refresh tokens of one org."""

    def __init__(self) -> None:
        self._codes: dict[str, Code] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._devices: dict[str, DeviceRequest] = {}

    def holds(self, value: str | None) -> bool:
        """Whether a code or token is one of this org's."""
        return value in self._codes or value in self._refresh or value in self._devices or self._of_user(value)

    def _of_user(self, user_code: str | None) -> bool:
        return any(device.user_code == user_code for device in self._devices.values())

    def issue_code(self, code: Code) -> str:
        """Keep a code; its value."""
        value = "aPrx" + _random(84)
        self._codes[value] = code
        return value

    def redeem(self, value: str, now: datetime) -> Code | None:
        """The code of a value, which is used up by this; None for an unknown, used or expired one."""
        code = self._codes.pop(value, None)
        return None if code is None or code.expires <= now else code

    def issue_refresh(self, app: ConnectedApp, user: User, scopes: frozenset[str], now: datetime) -> RefreshToken:
        """A new refresh token."""
        token = RefreshToken("5Aep861" + _random(80), app, user, scopes, now)
        self._refresh[token.value] = token
        return token

    def refresh(self, value: str) -> RefreshToken | None:
        """The refresh token of a value."""
        return self._refresh.get(value)

    def revoke_refresh(self, value: str) -> bool:
        """End a refresh token; False if there was none."""
        return self._refresh.pop(value, None) is not None

    def ask_for_device(self, app: ConnectedApp, scopes: frozenset[str], now: datetime) -> DeviceRequest:
        """A device's request, which waits for its user."""
        user_code = "".join(secrets.choice(_USER_CODE_ALPHABET) for _ in range(8))
        device = DeviceRequest(_random(64), user_code, app, scopes, now + DEVICE_LIFETIME)
        self._devices[device.code] = device
        return device

    def device(self, code: str) -> DeviceRequest | None:
        """The request of a device code."""
        return self._devices.get(code)

    def device_of(self, user_code: str, now: datetime) -> DeviceRequest | None:
        """The request that waits for this user code, written in any case."""
        wanted = user_code.strip().upper().replace("-", "")
        waiting = (d for d in self._devices.values() if d.state is DeviceState.PENDING and d.expires > now)
        return next((device for device in waiting if device.user_code == wanted), None)

    def drop_device(self, code: str) -> None:
        """Forget a request that has been answered."""
        self._devices.pop(code, None)


def _random(length: int) -> str:
    alphabet = string.ascii_letters + string.digits + "._"
    return "".join(secrets.choice(alphabet) for _ in range(length))
