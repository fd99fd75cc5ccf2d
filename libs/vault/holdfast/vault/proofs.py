"""What was proven of an object in a run, kept beside its tables: `docs/formats/vault.md` §11."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.vault.location import StoreLocation, VaultRoot, table_key

PROOF_PUT = durable_step("vault.proof_put")
_DOMAIN = b"holdfast-proof-v1:"


@dataclass(frozen=True)
class ProofFile:
    """One object of one run.

    Attributes:
        version, chain_head: The table that was held against the org.
        written_at: ISO 8601, UTC.
        proof: State, reason, counts and ids, as in the public event.
    """

    job_id: str
    object: str
    run: int
    version: int
    chain_head: str
    written_by: str
    written_at: str
    proof: Mapping[str, Any]

    def text(self) -> bytes:
        """The signed bytes: keys sorted, no white space."""
        body = {
            "format": 1,
            "job": self.job_id,
            "object": self.object,
            "run": self.run,
            "table": table_key(self.job_id, self.object),
            "version": self.version,
            "chain_head": self.chain_head,
            "written_by": self.written_by,
            "written_at": self.written_at,
            "proof": self.proof,
        }
        return _canonical(body)

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """The file."""
        signature = base64.b64encode(key.sign(_DOMAIN + self.text())).decode()
        return _signed(self, signature)


def proof_key(job_id: str, run: int, object_name: str) -> str:
    """Key of a proof file."""
    return f"{proofs_folder(job_id)}/{run}/{object_name}.json"


def proofs_folder(job_id: str) -> str:
    """Key of the folder with a job's proofs."""
    return f"{job_id}/proofs"


def keep_proof(root: VaultRoot, file: ProofFile, key: Ed25519PrivateKey) -> ProofFile:
    """Store the proof; durable when this returns. What stands there already is never replaced.

    Returns:
        The proof that stands: the one that was written before, if there is one.

    Raises:
        HoldfastError: DAMAGED if what stands there is not this installation's; UNAVAILABLE.
    """
    path = proof_key(file.job_id, file.run, file.object)
    try:
        root.put_new(path, file.signed(key), PROOF_PUT)
    except HoldfastError as error:
        if error.kind is not Kind.CONFLICT:
            raise
        return _read(root, path, key.public_key())
    return file


def read_proof(
    store: StoreLocation | VaultRoot, job_id: str, run: int, object_name: str, key: Ed25519PublicKey
) -> ProofFile:
    """The proof of an object in a run, its signature checked.

    Raises:
        HoldfastError: NOT_FOUND; DAMAGED if the file is not what was written.
    """
    return _read(VaultRoot.of(store), proof_key(job_id, run, object_name), key)


def _read(root: VaultRoot, path: str, key: Ed25519PublicKey) -> ProofFile:
    try:
        data = root.read(path)
        body = json.loads(data)
        file = ProofFile(
            body["job"],
            body["object"],
            body["run"],
            body["version"],
            body["chain_head"],
            body["written_by"],
            body["written_at"],
            body["proof"],
        )
        key.verify(base64.b64decode(body["signature"]), _DOMAIN + file.text())
        if data != _signed(file, body["signature"]):
            raise ValueError("the signature does not cover all of it")
    except (ValueError, KeyError, TypeError, InvalidSignature) as error:
        raise HoldfastError(Kind.DAMAGED, f"The vault's file {path} is damaged.", detail=repr(error)) from error
    if path != proof_key(file.job_id, file.run, file.object):
        raise HoldfastError(Kind.DAMAGED, f"The vault's file {path} is the proof of something else.")
    return file


def _signed(file: ProofFile, signature: str) -> bytes:
    return _canonical({**json.loads(file.text()), "signature": signature})


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
