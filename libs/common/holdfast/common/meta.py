"""Who asked for something, and what led to what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True)
class Meta:
    """Travels with every command and event.

    Attributes:
        correlation_id: Same for everything that follows from one request.
        causation_id: Id of the event or command that led to this one; None for the first.
        actor: Who asked: `user:<id>`, `token:<id>`, `service:<name>`.
    """

    correlation_id: UUID
    causation_id: UUID | None
    actor: str

    def caused_by(self, cause: UUID, *, actor: str | None = None) -> Meta:
        """The meta of what `cause` leads to: same correlation, `cause` as its reason."""
        return replace(self, causation_id=cause, actor=actor or self.actor)
