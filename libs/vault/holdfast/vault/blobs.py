"""Bodies of files: each content once per job, under the hash of its bytes. `docs/formats/vault.md` §9. All calls block.

A cell of the table names a body by `sha256:<hex>:<bytes>`; nothing of a file's own name ever becomes part of a key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.location import StoreLocation, VaultRoot

_TEXT = re.compile(r"sha256:([0-9a-f]{64}):(0|[1-9]\d{0,18})")
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class BlobRef:
    """A stored body: SHA-256 of its bytes in hex, and how many they are."""

    sha256: str
    bytes: int

    @property
    def text(self) -> str:
        """How a cell of the table names it."""
        return f"sha256:{self.sha256}:{self.bytes}"

    @classmethod
    def of(cls, text: str) -> BlobRef:
        """The reference that a cell holds.

        Raises:
            HoldfastError: DAMAGED for a text that is none.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise HoldfastError(Kind.DAMAGED, "A file's reference in the vault is damaged.", detail=text[:200])
        return cls(found.group(1), int(found.group(2)))

    def key(self, job_id: str) -> str:
        """Key of the body in the store."""
        return f"{job_id}/blobs/{self.sha256[:2]}/{self.sha256}"


def read_blob(store: StoreLocation | VaultRoot, job_id: str, ref: BlobRef) -> Iterator[bytes]:
    """The bytes of a body, piece by piece. Whoever has taken the last piece has read what was stored.

    Raises:
        HoldfastError: NOT_FOUND; DAMAGED, before the last piece is handed out, if they are not what was stored.
    """
    root, key = VaultRoot.of(store), ref.key(job_id)
    digest, size, held = hashlib.sha256(), 0, b""
    for piece in root.pieces(key, READ_BYTES):
        digest.update(piece)
        size += len(piece)
        if held:
            yield held
        held = piece
    if size != ref.bytes or digest.hexdigest() != ref.sha256:
        raise HoldfastError(Kind.DAMAGED, f"The vault's file {key} is damaged.", code="blob-damaged")
    if held:
        yield held


def blob_fault(root: VaultRoot, job_id: str, ref: BlobRef, *, whole: bool) -> str:
    """What is wrong with a body, in words; empty if nothing is.

    Args:
        whole: Read it again; otherwise only presence and size are checked.
    """
    size = root.size(ref.key(job_id))
    if size is None:
        return "the body is missing"
    if size != ref.bytes:
        return f"the body has {size} bytes instead of {ref.bytes}"
    if not whole:
        return ""
    try:
        for _ in read_blob(root, job_id, ref):
            pass
    except HoldfastError as error:
        if error.transient:
            raise
        return "the body's bytes changed"
    return ""
