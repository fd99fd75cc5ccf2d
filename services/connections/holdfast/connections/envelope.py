"""Secrets at rest: AES-256-GCM, a data key per connection, wrapped by the installation's key.

What is sealed names the connection and the purpose as associated data, so that a row copied to another
connection, or a secret put in place of a key, does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from holdfast.common.errors import HoldfastError, Kind

_NONCE_BYTES = 12  # 96 bits, random: fine for the few messages a key ever seals (NIST SP 800-38D)
_KEY_BITS = 256


class Sealed(NamedTuple):
    """A secret as it is stored. `key_id` tells which installation key wraps the data key."""

    key_id: str
    wrapped_key: bytes
    secret: bytes


class Envelope:
    """Seals and opens with one installation key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._wrapper = AESGCM(key)
        self.key_id = hashlib.sha256(b"holdfast key id" + key).hexdigest()[:16]

    def seal(self, connection_id: UUID, secret: SecretStr) -> Sealed:
        """Seal under a fresh data key."""
        data_key = AESGCM.generate_key(_KEY_BITS)
        return Sealed(
            self.key_id,
            _encrypt(self._wrapper, data_key, _purpose(connection_id, "data key")),
            _encrypt(AESGCM(data_key), secret.get_secret_value().encode(), _purpose(connection_id, "client secret")),
        )

    def open(self, connection_id: UUID, sealed: Sealed) -> SecretStr:
        """The secret again.

        Raises:
            HoldfastError: INTERNAL (`secret-unreadable`): another installation key, or an altered row.
        """
        try:
            data_key = _decrypt(self._wrapper, sealed.wrapped_key, _purpose(connection_id, "data key"))
            secret = _decrypt(AESGCM(data_key), sealed.secret, _purpose(connection_id, "client secret"))
        except InvalidTag:
            raise HoldfastError(
                Kind.INTERNAL,
                "The stored credentials cannot be read: HOLDFAST_SECRET_KEY is not the key they were stored "
                "with, or they were altered.",
                code="secret-unreadable",
                detail=f"sealed with key {sealed.key_id}, opened with {self.key_id}",
            ) from None
        return SecretStr(secret.decode())

    def mark(self, secret: str) -> str:
        """The same text for the same secret, telling nothing about it to who lacks the key."""
        return hmac.new(self._key, b"mark" + secret.encode(), hashlib.sha256).hexdigest()


def _purpose(connection_id: UUID, what: str) -> bytes:
    return f"holdfast/connection/{connection_id}/{what}".encode()


def _encrypt(cipher: AESGCM, plain: bytes, purpose: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, purpose)


def _decrypt(cipher: AESGCM, sealed: bytes, purpose: bytes) -> bytes:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose)
