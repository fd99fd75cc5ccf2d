"""`/_org/…` for signing in: connected apps, passwords, who may come from where, and the login history."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.auth.apps import ConnectedApp, in_order
from holdfast.orgsim.auth.passwords import LoginPolicy, networks
from holdfast.orgsim.errors import ApiError

router = Router("/_org")
_SETS = {"callbacks": tuple, "scopes": frozenset, "flows": frozenset, "approved": set}


@router.add("GET", "/apps", authenticated=False, counted=False)
async def apps(call: Call) -> Reply:
    """The connected apps."""
    return json_reply([_shown(app) for app in call.org.sign_in.apps])


@router.add("POST", "/apps", authenticated=False, counted=False)
async def set_app(call: Call) -> Reply:
    """Make an app, or change the settings that are given: the fields of `ConnectedApp`, `refresh_lifetime_s`."""
    body, desk = call.json_object(), call.org.sign_in
    client_id = str(body.get("client_id") or desk.apps.default.client_id)
    changes: dict[str, Any] = {}
    for key, value in body.items():
        if key == "refresh_lifetime_s":
            changes["refresh_lifetime"] = None if value is None else timedelta(seconds=float(value))
        elif key not in {f.name for f in fields(ConnectedApp)}:
            raise ApiError(400, "BAD_APP", f"an app has no setting {key!r}")
        else:
            changes[key] = _SETS[key](value) if key in _SETS else value
    known = desk.apps.find(client_id) or ConnectedApp(client_id, "", run_as=call.org.admin.username)
    desk.apps.add(_changed(known, changes))
    return json_reply(_shown(desk.apps.find(client_id) or known))


def _changed(app: ConnectedApp, changes: dict[str, Any]) -> ConnectedApp:
    """The same app, because codes and tokens point to it, with new settings."""
    fresh = replace(app, **changes)
    for setting in fields(ConnectedApp):
        setattr(app, setting.name, getattr(fresh, setting.name))
    return app


def _shown(app: ConnectedApp) -> dict[str, Any]:
    shown = {f.name: getattr(app, f.name) for f in fields(ConnectedApp) if f.name != "refresh_lifetime"}
    shown.update(scopes=in_order(app.scopes).split(), flows=sorted(app.flows), approved=sorted(app.approved))
    lifetime = app.refresh_lifetime
    return {**shown, "refresh_lifetime_s": None if lifetime is None else lifetime.total_seconds()}


@router.add("POST", "/passwords", authenticated=False, counted=False)
async def passwords(call: Call) -> Reply:
    """`{"username", "password", "security_token", "expired", "locked"}`: read and set how a user signs in."""
    body, now = call.json_object(), call.org.clock.now()
    username = str(body.get("username") or call.org.admin.username)
    if username not in call.org.users:
        raise ApiError(404, "NOT_FOUND", f"no user {username!r}")
    known = call.org.sign_in.passwords.of(username)
    known.password = str(body.get("password", known.password))
    known.security_token = str(body.get("security_token", known.security_token))
    known.expired = bool(body.get("expired", known.expired))
    if "locked" in body:
        known.locked_until = now + timedelta(days=36500) if body["locked"] else None
    return json_reply({
        "username": username,
        "password": known.password,
        "security_token": known.security_token,
        "expired": known.expired,
        "locked": known.locked(now),
    })  # fmt: skip


@router.add("POST", "/login-policy", authenticated=False, counted=False)
async def login_policy(call: Call) -> Reply:
    """`{"login_ranges", "trusted_ranges", "password_flow", "soap_login", "session_s"}`: read and set."""
    body, policy = call.json_object(), call.org.sign_in.policy
    try:
        for key in ("login_ranges", "trusted_ranges"):
            if key in body:
                setattr(policy, key, networks(body[key]))
    except ValueError as error:
        raise ApiError(400, "BAD_RANGE", str(error)) from error
    for key in ("password_flow", "soap_login"):
        if key in body:
            setattr(policy, key, bool(body[key]))
    if "session_s" in body:
        call.org.sessions.lifetime = timedelta(seconds=float(body["session_s"]))
    return json_reply({**_policy(policy), "session_s": call.org.sessions.lifetime.total_seconds()})


def _policy(policy: LoginPolicy) -> dict[str, Any]:
    return {
        "login_ranges": [str(network) for network in policy.login_ranges],
        "trusted_ranges": [str(network) for network in policy.trusted_ranges],
        "password_flow": policy.password_flow,
        "soap_login": policy.soap_login,
    }


@router.add("GET", "/logins", authenticated=False, counted=False)
async def logins(call: Call) -> Reply:
    """The login history, oldest first."""
    return json_reply([
        {
            "LoginTime": entry.at.isoformat(),
            "Username": entry.username,
            "LoginType": entry.login_type,
            "SourceIp": entry.source_ip,
            "Status": entry.status,
            "Application": entry.application,
            "LoginUrl": entry.login_url,
        }
        for entry in call.org.sign_in.history.entries
    ])  # fmt: skip
