"""How the proof of a run is told: a word per object, and below the table what is open and which records differ."""

from __future__ import annotations

from typing import Any

from holdfast.launcher.commands import output

_WORDS = {"mismatch": "MISMATCH"}
_KINDS = (
    ("missing", "in the org and not in the backup"),
    ("outdated", "older in the backup than in the org"),
    ("unseen", "in the backup and not in the org"),
)


def proof_word(each: dict[str, Any]) -> str:
    """The proof of an object of a run in the table."""
    proof = each.get("proof")
    return _WORDS.get(proof["state"], proof["state"]) if proof else ""


def proof_lines(run: dict[str, Any]) -> list[str]:
    """What is not proven and why, and the ids of records that differ."""
    lines = []
    for each in run["objects"]:
        proof = each.get("proof")
        if not proof or proof["state"] == "proven":
            continue
        word = proof_word(each)
        lines.append(f"{word[0].upper()}{word[1:]}: {each['object']}: {proof['reason']}")
        for kind, what in _KINDS:
            if proof[kind]:
                shown = ", ".join(proof[f"{kind}_ids"])
                more = proof[kind] - len(proof[f"{kind}_ids"])
                lines.append(f"  {what}: {shown}" + (f" and {more:,} more" if more else ""))
    return [output.visible(line) for line in lines]


def ended_how(run: dict[str, Any]) -> str:
    """The state of an ended run with what was proven: `completed and proven`."""
    proof = run.get("proof") or {"proven": 0, "not_proven": 0, "mismatch": 0}
    open_objects = proof["not_proven"] + proof["mismatch"]
    if run["state"] == "completed" and proof["proven"] and not open_objects:
        return "completed and proven"
    if not open_objects:
        return str(run["state"])
    objects = proof["proven"] + open_objects
    return f"{run['state']}, {open_objects:,} of {objects:,} objects not proven,"


def summary(run: dict[str, Any]) -> str:
    """What was proven of a run's objects, for a list of runs: `proven`, `20 of 22`, `MISMATCH: 1 of 22`."""
    proof = run.get("proof") or {"proven": 0, "not_proven": 0, "mismatch": 0}
    objects = sum(proof.values())
    if proof["mismatch"]:
        return f"{_WORDS['mismatch']}: {proof['mismatch']:,} of {objects:,}"
    if proof["not_proven"]:
        return f"{proof['proven']:,} of {objects:,}"
    return "proven" if objects else ""
