"""Which fields a page observed, and how their describe types them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from holdfast.common.errors import HoldfastError, Kind

NOT_STORED_TYPES = frozenset({"address", "location", "base64"})
# Types that no describe has: a file's body, and the images of a rich text, each as references to blobs.
BODY, IMAGES = "body", "images"
SELF_MOVING = frozenset({"SystemModstamp", "LastViewedDate", "LastReferencedDate"})


@dataclass(frozen=True, order=True)
class FieldType:
    """A field of an object: API name and the `type` of Salesforce's describe."""

    name: str
    type: str


@dataclass(frozen=True)
class RecordSchema:
    """The fields with which an object was read. Format: `docs/formats/vault.md` §6.

    Attributes:
        key: Of an object whose records have no id: the fields that tell them apart, in the order of its index.
        descending: Those of the key that the index has in descending order; nothing is computed by it.
    """

    object: str
    fields: tuple[FieldType, ...]
    key: tuple[str, ...] = ()
    descending: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(sorted(self.fields)))
        names = [field.name.lower() for field in self.fields]
        if len(names) != len(set(names)):
            raise HoldfastError(Kind.INVALID, f"The schema of {self.object} names a field twice.")
        if not self.names.issuperset(self.key):
            raise HoldfastError(Kind.INVALID, f"A key field of {self.object} is not among the fields that are read.")

    @cached_property
    def schema_id(self) -> str:
        """The first 32 hex digits of the SHA-256 of the JSON form."""
        return hashlib.sha256(self.to_json()).hexdigest()[:32]

    @cached_property
    def stored(self) -> tuple[FieldType, ...]:
        """Fields that have a column: without `Id`, compound fields and bodies; sorted by name."""
        return tuple(f for f in self.fields if f.name != "Id" and f.type not in NOT_STORED_TYPES)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the stored fields."""
        return frozenset(f.name for f in self.stored)

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """Names of the fields whose values make a change, sorted."""
        return tuple(f.name for f in self.stored if f.name not in SELF_MOVING)

    @cached_property
    def of_bodies(self) -> bool:
        """Whether it is that of a page of bodies, which observes nothing but them."""
        return any(f.type in (BODY, IMAGES) for f in self.fields)

    def to_json(self) -> bytes:
        """Keys sorted, no white space: equal schemas have equal bytes."""
        fields = [{"name": f.name, "type": f.type} for f in self.fields]
        body: dict[str, object] = {"object": self.object, "fields": fields}
        if self.key:
            body["key"] = list(self.key)
        if self.descending:
            body["descending"] = sorted(self.descending)
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> RecordSchema:
        """The schema of `to_json`.

        Raises:
            HoldfastError: DAMAGED if the bytes are no schema.
        """
        try:
            body = json.loads(data)
            fields = tuple(FieldType(f["name"], f["type"]) for f in body["fields"])
            return cls(body["object"], fields, tuple(body.get("key", ())), frozenset(body.get("descending", ())))
        except (ValueError, KeyError, TypeError) as error:
            raise HoldfastError(Kind.DAMAGED, "A schema file of the vault is damaged.", detail=str(error)) from error


def schema_key(job_id: str, schema_id: str) -> str:
    """Key of a schema file."""
    return f"{job_id}/schemas/{schema_id}.json"
