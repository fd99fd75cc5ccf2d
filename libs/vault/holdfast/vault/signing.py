"""The key that signs the chain, derived from the installation's secret."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"holdfast vault chain v1"


def signing_key(secret: bytes) -> Ed25519PrivateKey:
    """The Ed25519 key for an installation's 32-byte secret: the same secret gives the same key."""
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret)
    return Ed25519PrivateKey.from_private_bytes(seed)
