"""Notes of the enhanced kind: saved as content versions of type SNOTE, read as rows of ContentNote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.saving.writing import Writer

_PASSED_ON = frozenset({"Title", "SharingPrivacy"})


def insert_note(writer: Writer, values: Mapping[str, Any]) -> str:
    """Save a new note; its id, which is that of its document.

    Raises:
        ApiError: a field is missing or unknown, or a rule refused it.
    """
    if not values.get("Title"):
        raise ApiError(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Title]", ["Title"])
    versions = writer.org.schema.objects["ContentVersion"]
    saved = writer.insert(versions, {**_as_version(values), "PathOnClient": f"{values['Title']}.snote"})
    row = writer.org.table(versions).get(saved)
    assert row is not None
    return str(row["ContentDocumentId"])


def update_note(writer: Writer, note_id: str, values: Mapping[str, Any]) -> None:
    """Change a note: a new content is a new version.

    Raises:
        ApiError: there is no such note, or a rule refused the change.
    """
    versions, notes = (writer.org.schema.objects[name] for name in ("ContentVersion", "ContentNote"))
    row = writer.org.table(notes).get(note_id)
    assert row is not None
    changed = _as_version(values)
    if "VersionData" not in changed:
        writer.update(str(row["LatestPublishedVersionId"]), changed, versions)
        return
    changed.setdefault("Title", row["Title"])
    writer.insert(versions, {**changed, "PathOnClient": f"{changed['Title']}.snote", "ContentDocumentId": note_id})


def _as_version(values: Mapping[str, Any]) -> dict[str, Any]:
    names = {"Content": "VersionData"}
    unknown = [name for name in values if name not in (*_PASSED_ON, *names, "attributes")]
    if unknown:
        message = f"Unable to create/update fields: {', '.join(unknown)}."
        raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, unknown)
    return {names.get(name, name): value for name, value in values.items() if name != "attributes"}
