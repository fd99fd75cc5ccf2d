"""The hash chain over a table's commits: `docs/formats/vault.md` §8."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

GENESIS = "0" * 64
ENTRY_KEY, HEAD_KEY, SIGNATURE_KEY = "holdfast.chain", "holdfast.head", "holdfast.signature"
_DOMAIN = b"holdfast-chain-v1:"


@dataclass(frozen=True)
class ChainHead:
    """Where a table's chain stands: what a keeper outside the bucket remembers."""

    commit_seq: int
    head: str


@dataclass(frozen=True)
class Link:
    """A chain entry as it stands in a commit."""

    body: Mapping[str, Any]
    text: str
    head: str
    signature: str

    @property
    def chain_head(self) -> ChainHead:
        """The chain's head after this entry."""
        return ChainHead(int(self.body["commit_seq"]), self.head)

    def metadata(self) -> dict[str, str]:
        """What goes into the commit's own metadata."""
        return {ENTRY_KEY: self.text, HEAD_KEY: self.head, SIGNATURE_KEY: self.signature}


def head_after(previous: str, text: str) -> str:
    """Head of the chain after an entry with these bytes."""
    return hashlib.sha256(bytes.fromhex(previous) + text.encode()).hexdigest()


def make_link(body: Mapping[str, Any], key: Ed25519PrivateKey) -> Link:
    """Hash and sign an entry; `body["previous"]` is the head that it extends."""
    text = json.dumps({"format": 1, **body}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    head = head_after(str(body["previous"]), text)
    signature = base64.b64encode(key.sign(_DOMAIN + head.encode())).decode()
    return Link(json.loads(text), text, head, signature)


def parse_link(commit_info: Mapping[str, Any]) -> Link | None:
    """The chain entry of a commit's `commitInfo`; None if it has none or it is not readable."""
    text, head, signature = (commit_info.get(key) for key in (ENTRY_KEY, HEAD_KEY, SIGNATURE_KEY))
    if not (isinstance(text, str) and isinstance(head, str) and isinstance(signature, str)):
        return None
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return Link(body, text, head, signature) if isinstance(body, dict) else None


def signed_by(link: Link, key: Ed25519PublicKey) -> bool:
    """Whether the entry's signature is the key's."""
    try:
        key.verify(base64.b64decode(link.signature), _DOMAIN + link.head.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
