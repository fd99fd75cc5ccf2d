"""Whether the proofs beside a table are what was written, and agree with it: `docs/formats/vault.md` §10, §11."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.location import StoreLocation, VaultRoot
from holdfast.vault.proofs import ProofFile, proof_key, proofs_folder, read_proof
from holdfast.vault.verify import Damage, Report

_NAME = re.compile(r"([1-9][0-9]*)/([A-Za-z][A-Za-z0-9_]*)\.json")
_CLAIMS_AGAINST = ("missing", "outdated", "unseen")


@dataclass(frozen=True)
class ProofFiles:
    """The proofs that a job's vault has.

    Attributes:
        runs: Numbers of the runs that have a proof, by object.
        strays: Files in the folder that are no proof by their name.
    """

    runs: Mapping[str, Sequence[int]]
    strays: tuple[Damage, ...] = ()


def proof_files(store: StoreLocation | VaultRoot, job_id: str) -> ProofFiles:
    """What there is; list it before the tables are read, so that each file's commit is in the log.

    Raises:
        HoldfastError: UNAVAILABLE.
    """
    runs: dict[str, list[int]] = {}
    strays = []
    folder = proofs_folder(job_id)
    for entry in VaultRoot.of(store).list(folder):
        name = entry.key.removeprefix(f"{folder}/")
        if name.rpartition("/")[2].startswith("."):
            continue  # a writer's scratch: it has no proof in it until it is renamed
        named = _NAME.fullmatch(name)
        if named:
            runs.setdefault(named.group(2), []).append(int(named.group(1)))
        else:
            strays.append(Damage(entry.key, "this is no proof, and lies among them"))
    return ProofFiles({name: sorted(numbers) for name, numbers in runs.items()}, tuple(strays))


@dataclass
class ProofReport:
    """What a check of one object's proofs found."""

    damage: list[Damage] = field(default_factory=list)
    files: int = 0
    bytes: int = 0


def verify_proofs(
    store: StoreLocation | VaultRoot,
    job_id: str,
    object_name: str,
    *,
    key: Ed25519PublicKey,
    runs: Sequence[int],
    told: Mapping[int, Mapping[str, Any]],
    table: Report,
) -> ProofReport:
    """Check the proofs of an object; damage is reported, not raised.

    Args:
        runs: Runs that have a file.
        told: By run, the proof that was announced; a run that is not in it may have one all the same.
        table: What a check of the object's table found, made after `runs` was listed. Numbers are held against
            `table.living` if it was counted.

    Raises:
        HoldfastError: UNAVAILABLE if the store cannot be asked.
    """
    report, root = ProofReport(), VaultRoot.of(store)
    for run in sorted({*runs, *told}):
        announced = told.get(run)
        try:
            file = read_proof(root, job_id, run, object_name, key)
            faults = [*_against_told(file, announced), *_against_table(file, table), *_against_itself(file.proof)]
            report.files += 1
            report.bytes += root.size(proof_key(job_id, run, object_name)) or 0
        except HoldfastError as error:
            if error.transient:
                raise
            faults = [_unreadable(error, announced)]
        path = proof_key(job_id, run, object_name)
        report.damage += [Damage(path, f"the proof of {object_name} in run {run} {fault}") for fault in faults]
    return report


def _unreadable(error: HoldfastError, announced: Mapping[str, Any] | None) -> str:
    if error.kind is not Kind.NOT_FOUND:
        return "was changed, or is not ours"
    said = f", though it was announced: {announced['state']}" if announced else ""
    return f"is missing{said}"


def _against_told(file: ProofFile, announced: Mapping[str, Any] | None) -> Iterator[str]:
    if announced is not None and any(announced.get(name) != value for name, value in file.proof.items()):
        yield "says other than what was announced"


def _against_table(file: ProofFile, table: Report) -> Iterator[str]:
    head = table.heads.get(file.version)
    if head is None:
        yield f"names version {file.version} of the table, which is not there"
    elif head != file.chain_head:
        yield f"names another commit than the table's version {file.version} is"
    living = table.living.get(file.version)
    if living is not None and living != file.proof.get("vault_records"):
        records = file.proof.get("vault_records")
        yield f"says that the backup held {records} living records, and version {file.version} holds {living}"


def _against_itself(proof: Mapping[str, Any]) -> Iterator[str]:
    if proof.get("state") != "proven":
        return
    against = [name for name in _CLAIMS_AGAINST if proof.get(name)]
    if against or proof.get("org_records") not in (None, proof.get("vault_records")):
        yield "says proven, and its own figures contradict that"
