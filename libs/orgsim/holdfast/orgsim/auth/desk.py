"""Everything that an org knows about signing in, in one place."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.apps import Apps, ConnectedApp, platform_cli
from holdfast.orgsim.auth.grants import Grants
from holdfast.orgsim.auth.passwords import LoginHistory, LoginPolicy, Passwords


class SignInDesk:
    """Apps, codes and refresh tokens, passwords, policy and history of one org."""

    def __init__(self, app: ConnectedApp, users: Mapping[str, User]) -> None:
        self.apps = Apps(app)
        self.apps.add(platform_cli())
        self.grants = Grants()
        self.policy = LoginPolicy()
        self.passwords = Passwords(users, self.policy)
        self.history = LoginHistory()
        self._signing_key: RSAKey | None = None
        self._one_time: dict[str, str] = {}

    def one_time(self, token: str) -> str:
        """A password that leads to a session once."""
        value = secrets.token_urlsafe(48)
        self._one_time[value] = token
        return value

    def redeem_one_time(self, value: str) -> str | None:
        """The session's token, the first time."""
        return self._one_time.pop(value, None)

    @property
    def signing_key(self) -> RSAKey:
        """Signs id tokens and JWT access tokens. Made when first needed: it takes longer than the rest of the start."""
        if self._signing_key is None:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            self._signing_key = RSAKey.import_key(pem, {"kid": "orgsim-1", "use": "sig", "alg": "RS256"})
        return self._signing_key
