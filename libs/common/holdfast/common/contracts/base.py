"""The shape that every public event shares."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A part of an event: immutable; unknown fields are ignored, so that old readers follow new writers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PublicEvent(Value):
    """An event that leaves its service.

    Attributes:
        TYPE: `holdfast.<service>.<subject>.<past participle>.v<major>`.
    """

    TYPE: ClassVar[str]

    def key(self) -> str:
        """Id of the subject: the Kafka key, and the stream within which order is kept."""
        raise NotImplementedError

    @classmethod
    def topic(cls) -> str:
        """The type without participle and version."""
        return ".".join(cls.TYPE.split(".")[:3])
