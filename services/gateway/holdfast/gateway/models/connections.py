"""Connections to Salesforce orgs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from holdfast.common.rpc.connections.v1 import connections_pb2
from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.gateway.inputs import Line, Name
from holdfast.gateway.models.base import Command, Resource, moment

Flow = Literal["client-credentials", "jwt-bearer"]
FLOWS: dict[str, connections_pb2.Flow.ValueType] = {
    "client-credentials": connections_pb2.FLOW_CLIENT_CREDENTIALS,
    "jwt-bearer": connections_pb2.FLOW_JWT_BEARER,
}
_FLOW_NAMES: dict[int, Flow] = {
    connections_pb2.FLOW_CLIENT_CREDENTIALS: "client-credentials",
    connections_pb2.FLOW_JWT_BEARER: "jwt-bearer",
}
Url = Annotated[str, StringConstraints(max_length=255, pattern=r"^https?://[^\x00-\x20\x7f]+$")]


class AddConnection(Command):
    """Sign in to an org and keep the connection."""

    name: Name = Field(description="What people call the org.", examples=["Production"])
    login_url: Url = Field(
        description="My Domain URL of the org; https://login.salesforce.com works for jwt-bearer only.",
        examples=["https://acme.my.salesforce.com"],
    )
    flow: Flow = Field(default="client-credentials", description="The OAuth flow the app is set up for.")
    client_id: Annotated[Line, Field(min_length=1)] = Field(
        description="Consumer key of the app.", examples=["3MVG9pRzvMkjMb6l"]
    )
    secret: Annotated[SecretStr, Field(min_length=1, max_length=16_384)] = Field(
        description="Consumer secret, or PEM private key for jwt-bearer. Stored encrypted, never returned."
    )
    username: Line = Field(default="", description="Whom to act as; needed for jwt-bearer.")


class Connection(Resource):
    """An org that Holdfast can reach."""

    id: str = Field(examples=["0199f0a2-6f5e-7c35-9d0a-4e8f4c0b7a11"])
    name: str = Field(examples=["Production"])
    login_url: str
    instance_url: str
    organization_id: str = Field(examples=["00D5g00000ABCDEFGH"])
    organization_name: str
    username: str = Field(description="The user the org knows us as.")
    flow: Flow | None
    status: str = Field(description="`ok`, or `broken` with the reason in `status_reason`.")
    status_reason: str
    added_at: datetime | None
    api_calls_used: int = Field(description="API calls of the last 24 hours as the org counts them.")
    api_calls_limit: int
    warnings: list[str] = Field(description="What the user of the connection cannot see or do.")

    @classmethod
    def of(cls, connection: connections_pb2.Connection) -> Connection:
        return cls(
            id=connection.id,
            name=connection.name,
            login_url=connection.login_url,
            instance_url=connection.instance_url,
            organization_id=connection.organization_id,
            organization_name=connection.organization_name,
            username=connection.username,
            flow=_FLOW_NAMES.get(connection.flow),
            status=connection.status,
            status_reason=connection.status_reason,
            added_at=moment(connection.added_at),
            api_calls_used=connection.api_calls_used,
            api_calls_limit=connection.api_calls_limit,
            warnings=list(connection.warnings),
        )


class OrgObject(Resource):
    """An object of an org, as far as a backup is concerned."""

    name: str = Field(examples=["Account"])
    label: str
    recommended: bool = Field(description="Part of a job that names no objects.")
    reason: str = Field(description="Why it is not recommended, or cannot be backed up.")
    readable: bool = Field(description="Whether a job may name it.")
    rows: int = Field(description="Records, as the org counts them.")
    strategy: str = Field(
        description=(
            "How it is read: `query`, `rest only`, `big object keyset`, `parent walk`, `filter` or `cannot be read`."
        ),
        examples=["query"],
    )
    strategy_detail: str = Field(description="What each query filters by, for objects that must be filtered.")
    managed: bool = Field(description="It comes from a managed package.")
    namespace: str = Field(description="Namespace prefix of that package.", examples=["npsp"])
    custom: bool
    selected: bool | None = Field(
        default=None, description="Whether the job takes it, once it has records; null where no job was asked about."
    )

    @classmethod
    def of(cls, found: extractor_pb2.OrgObject, selected: bool | None = None) -> OrgObject:
        return cls(
            name=found.name,
            label=found.label,
            recommended=found.recommended,
            reason=found.reason,
            readable=not found.unreadable,
            rows=found.rows,
            strategy=found.strategy,
            strategy_detail=found.strategy_detail,
            managed=bool(found.namespace),
            namespace=found.namespace,
            custom=found.custom,
            selected=selected,
        )


class OrgObjects(Resource):
    """Every object of an org. One page: an org has at most a few thousand."""

    items: list[OrgObject]
    next_cursor: None = None
