"""Which fields of an object hold files, and what Salesforce states of each. Pure.

Sources: the Object Reference's pages of the objects named in `_STATED`; every other base64 field is taken with nothing
stated. A rich text (`extraTypeInfo` = `richtextarea`) holds images, which `images.py` finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from holdfast.salesforce.models import Describe

# By object and field: the field with the size in bytes, the one with the MD5, and those that say where a body is kept
# when it is not in Salesforce: such a record has none.
_STATED: dict[tuple[str, str], tuple[str, str, tuple[str, ...]]] = {
    ("ContentVersion", "VersionData"): ("ContentSize", "Checksum", ("ContentUrl",)),
    ("Attachment", "Body"): ("BodyLength", "", ()),
    ("Document", "Body"): ("BodyLength", "", ("Url",)),
    ("StaticResource", "Body"): ("BodyLength", "", ()),
    ("EventLogFile", "LogFile"): ("LogFileLength", "", ()),
}
_NOTHING: tuple[str, str, tuple[str, ...]] = ("", "", ())
_RICH_TEXT = "richtextarea"


@dataclass(frozen=True)
class FileField:
    """A field that holds files.

    Attributes:
        images: It is a rich text; its images are the files.
        size, md5: Fields of the record that state the body's size and MD5; empty if none does.
        elsewhere: Fields that have a value if the body is not in Salesforce.
    """

    name: str
    images: bool = False
    size: str = ""
    md5: str = ""
    elsewhere: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a page that say what of it is to be fetched."""
        own = (self.name,) if self.images else (self.size, self.md5, *self.elsewhere)
        return tuple(name for name in own if name)


def file_fields(describe: Describe) -> list[FileField]:
    """The fields of an object that hold files, as far as the user may see them."""
    visible = {field.name for field in describe.fields}
    found = []
    for field in describe.fields:
        if field.type == "base64":
            size, md5, elsewhere = _STATED.get((describe.name, field.name), _NOTHING)
            found.append(
                FileField(
                    field.name,
                    size=size if size in visible else "",
                    md5=md5 if md5 in visible else "",
                    elsewhere=tuple(name for name in elsewhere if name in visible),
                )
            )
        elif field.extra_type_info == _RICH_TEXT:
            found.append(FileField(field.name, images=True))
    return found


def to_json(fields: Iterable[FileField]) -> str:
    """Fields as the database keeps them."""
    return json.dumps([asdict(field) for field in fields])


def from_json(text: str) -> tuple[FileField, ...]:
    """The fields of `to_json`."""
    return tuple(FileField(**{**body, "elsewhere": tuple(body["elsewhere"])}) for body in json.loads(text))
