"""Rows as gRPC messages, and requests as what the handlers take."""

from __future__ import annotations

from pydantic import SecretStr

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.connections.v1 import connections_pb2 as pb
from holdfast.connections.domain import Flow
from holdfast.connections.org import MAX_SECRET_CHARS, Credentials
from holdfast.connections.store import ConnectionRow

_FLOWS: dict[Flow, pb.Flow.ValueType] = {
    "client_credentials": pb.FLOW_CLIENT_CREDENTIALS,
    "jwt_bearer": pb.FLOW_JWT_BEARER,
}
_TEXT_MAX_CHARS = 500


def connection_message(row: ConnectionRow) -> pb.Connection:
    """A connection, without anything secret."""
    message = pb.Connection(
        id=str(row.connection_id),
        name=row.name,
        login_url=row.login_url,
        instance_url=row.instance_url,
        organization_id=row.organization_id,
        organization_name=row.organization_name,
        username=row.username,
        flow=_FLOWS[row.flow],
        status="ok" if row.broken_reason is None else "broken",
        status_reason=row.broken_reason or "",
        api_calls_used=row.used_calls,
        api_calls_limit=row.limit_calls,
        warnings=row.warnings,
    )
    message.added_at.FromDatetime(row.added_at)
    return message


def credentials_of(request: pb.AddConnectionRequest, login_url: str) -> Credentials:
    """The credentials of a request.

    Raises:
        HoldfastError: INVALID naming the field that is missing or too long.
    """
    flow = next((name for name, value in _FLOWS.items() if value == request.flow), None)
    if flow is None:
        raise _bad("flow", "Choose client credentials or JWT bearer as the way to sign in.")
    client_id = _text(request.client_id.strip(), "client_id", "The client id (consumer key) of the app")
    username = request.username.strip()
    if flow == "jwt_bearer":
        _text(username, "username", "The name of the user that the app signs in as")
    if not request.secret.strip():
        wanted = "client secret" if flow == "client_credentials" else "private key"
        raise _bad("secret", f"The {wanted} is missing.")
    if len(request.secret) > MAX_SECRET_CHARS:
        raise _bad("secret", f"The secret has more than {MAX_SECRET_CHARS} characters.")
    return Credentials(flow, login_url, client_id, username, SecretStr(request.secret.strip()))


def _text(value: str, field: str, what: str) -> str:
    if not value:
        raise _bad(field, f"{what} is missing.")
    if len(value) > _TEXT_MAX_CHARS or not value.isprintable():
        raise _bad(field, f"{what} has at most {_TEXT_MAX_CHARS} printable characters.")
    return value


def _bad(field: str, sentence: str) -> HoldfastError:
    return HoldfastError(Kind.INVALID, sentence, code="bad-input", field=field)
