"""Events of the `connections` service."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from holdfast.common.contracts.base import PublicEvent


class ConnectionAdded(PublicEvent):
    """An org can now be reached; its organisation id is pinned to the connection."""

    TYPE: ClassVar[str] = "holdfast.connections.connection.added.v1"
    connection_id: UUID
    name: str
    organization_id: str
    instance_url: str

    def key(self) -> str:
        return str(self.connection_id)


class ConnectionBroken(PublicEvent):
    """Salesforce refuses the connection's credentials, or they lead to another org than the connection was made for."""

    TYPE: ClassVar[str] = "holdfast.connections.connection.broken.v1"
    connection_id: UUID
    reason: str

    def key(self) -> str:
        return str(self.connection_id)


class ConnectionRecovered(PublicEvent):
    """A broken connection works again."""

    TYPE: ClassVar[str] = "holdfast.connections.connection.recovered.v1"
    connection_id: UUID

    def key(self) -> str:
        return str(self.connection_id)


class BudgetObserved(PublicEvent):
    """The org told how many of its daily API calls are used. At most one a minute and org."""

    TYPE: ClassVar[str] = "holdfast.connections.budget.observed.v1"
    organization_id: str
    used_calls: int
    limit_calls: int
    observed_at: datetime

    def key(self) -> str:
        return self.organization_id
