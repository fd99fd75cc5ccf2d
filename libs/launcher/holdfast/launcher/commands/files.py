"""The files of a run, in words: they come in after its records."""

from __future__ import annotations

from typing import Any

from holdfast.launcher.commands import output

_RECORDS_WHOLE = frozenset({"completed", "partial"})


def state_of(run: dict[str, Any]) -> str:
    """The run's state for people: its records may all be there while files are still fetched."""
    if run["state"] in _RECORDS_WHOLE and files_of(run)["state"] == "waiting":
        return "record data complete" if run["state"] == "completed" else "partial, files loading"
    return str(run["state"])


def file_lines(run: dict[str, Any]) -> list[str]:
    """What there is to say of a run's files; nothing of a run without."""
    files = files_of(run)
    if files["state"] == "none":
        return []
    stored = f"{files['stored']:,} of {files['queued']:,} stored, {output.size(files['bytes'])}"
    waiting = files["queued"] - files["stored"] - files["failed"]
    if waiting > 0:
        kept = "" if run["state"] not in _RECORDS_WHOLE else "Record data complete. "
        lines = [f"{kept}Files: {stored}; {waiting:,} waiting, {files['failed']:,} failed."]
    elif files["failed"]:
        lines = [f"Files: {stored}; {files['failed']:,} missing:"]
    else:
        lines = [f"Files: {stored}."]
    lines += [f"Missing file: {sentence}" for sentence in files["missing"]] if files["failed"] else []
    return lines + [f"Doubtful file: {sentence}" for sentence in files["doubted"]]


def files_of(run: dict[str, Any]) -> dict[str, Any]:
    """How far the run's files are; an older service does not tell."""
    nothing = {"state": "none", "queued": 0, "stored": 0, "failed": 0, "bytes": 0, "missing": [], "doubted": []}
    return {**nothing, **run.get("files", {})}
