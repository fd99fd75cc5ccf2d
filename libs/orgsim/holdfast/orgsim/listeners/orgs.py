"""Several orgs behind one set of listeners: which of them a request is for.

In this order: the path prefix `/orgs/<name>`, the host name (`<name>.my.salesforce.com`, `<name>.localhost`), the org
id in the request's token, cookie or path, and, where somebody signs in, the org that knows the user, code or client.
Whatever is left goes to the first org (on test.salesforce.com: the first sandbox).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

from holdfast.orgsim.api.app import OrgApp, lifespan, read_body, send_reply
from holdfast.orgsim.api.web import json_reply
from holdfast.orgsim.auth.finding import knows
from holdfast.orgsim.errors import not_found
from holdfast.orgsim.listeners.hosts import LOGIN_HOSTS, my_domain, split_host
from holdfast.orgsim.org import Org

_PREFIX = re.compile(rb"/+orgs/+([^/?]+)")
_ORG_ID = re.compile(r"00D[A-Za-z0-9]{12}")
_SIGN_IN = re.compile(r"/+(services/+(oauth2|Soap)|login|setup)(/|$)", re.IGNORECASE)
_SOAP_USERNAME = re.compile(rb"<(?:\w+:)?username>([^<]*)<")
_IDENTIFYING_HEADERS = (b"authorization", b"x-sfdc-session", b"cookie")


class OrgsApp:
    """Serves every org; the first is the default one."""

    def __init__(self, orgs: Sequence[Org]) -> None:
        self.apps = [OrgApp(org) for org in orgs]
        self._by_name: dict[str, OrgApp] = {}
        for app in self.apps:
            name = app.org.settings.my_domain
            self._by_name[name] = app
            self._by_name.setdefault(name.rpartition("--")[2], app)
        self._by_id = {app.org.id[:15]: app for app in self.apps}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """The ASGI entry."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] == "/_org/orgs":
            await send_reply(send, json_reply([describe(app.org) for app in self.apps]), scope["method"])
        elif scope["type"] == "http":
            await self._route(scope, receive, send)

    async def _route(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        prefix = _PREFIX.match(scope.get("raw_path") or scope["path"].encode())
        if prefix is not None:
            app = self._by_name.get(unquote(prefix[1].decode()))
            scope = _without(scope, prefix)
        else:
            app = self._by_host(scope)
            if app is None and len(self.apps) > 1:
                body = await read_body(receive) if _SIGN_IN.match(scope["path"]) else None
                app = self._by_content(scope, body or b"")
                receive = receive if body is None else _again(body)
        if app is None:
            error = not_found()
            await send_reply(send, json_reply(error.body(), error.status), scope["method"])
        else:
            await app(scope, receive, send)

    def _by_host(self, scope: dict[str, Any]) -> OrgApp | None:
        if len(self.apps) == 1:
            return self.apps[0]
        parts = split_host(_header(scope, b"host"))
        host = parts[0] if parts else ""
        name = my_domain(host) or (host.removesuffix(".localhost") if host.endswith(".localhost") else None)
        return None if name is None else self._by_name.get(name)

    def _by_content(self, scope: dict[str, Any], body: bytes) -> OrgApp | None:
        parts = split_host(_header(scope, b"host"))
        host = parts[0] if parts else ""
        if my_domain(host) is not None:
            return None  # somebody's My Domain, but none of ours
        app = self._by_org_id(scope, body)
        if app is not None:
            return app
        candidates = self._of_login_host(host)
        form = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        form.update(parse_qsl(body.decode("utf-8", "replace")))
        username = _SOAP_USERNAME.search(body)
        if username is not None:
            form["username"] = username[1].decode("utf-8", "replace")
        token = _header(scope, b"authorization").rpartition(" ")[2]
        return max(candidates, key=lambda candidate: knows(candidate.org, form, token))  # the first of equals

    def _by_org_id(self, scope: dict[str, Any], body: bytes) -> OrgApp | None:
        texts = [scope["path"], unquote(scope["query_string"].decode("latin-1"))]
        texts += [v.decode("latin-1") for k, v in scope["headers"] if k.lower() in _IDENTIFYING_HEADERS]
        texts.append(unquote(body.decode("utf-8", "replace")))
        found = (self._by_id.get(org_id) for text in texts for org_id in _ORG_ID.findall(text))
        return next((app for app in found if app is not None), None)

    def _of_login_host(self, host: str) -> list[OrgApp]:
        """Sandboxes sign in at test.salesforce.com, all others at login.salesforce.com; locally everybody anywhere."""
        if host not in LOGIN_HOSTS:
            return self.apps
        sandboxes = host == "test.salesforce.com"
        return [a for a in self.apps if (a.org.settings.kind in ("sandbox", "scratch")) is sandboxes] or self.apps


def describe(org: Org) -> dict[str, str]:
    """An org's line in the list of orgs."""
    return {
        "name": org.settings.my_domain,
        "kind": org.settings.kind,
        "org_id": org.id,
        "domain": org.domain_host,
        "path": f"/orgs/{org.settings.my_domain}",
    }


def local_names(orgs: Iterable[Org]) -> list[str]:
    """The `.localhost` names by which the orgs are reached; the certificate must hold for them."""
    names = [org.settings.my_domain for org in orgs]
    return [f"{name}.localhost" for name in dict.fromkeys([*names, *(n.rpartition("--")[2] for n in names)])]


def _without(scope: dict[str, Any], prefix: re.Match[bytes]) -> dict[str, Any]:
    raw = (scope.get("raw_path") or scope["path"].encode())[prefix.end() :] or b"/"
    return {
        **scope,
        "raw_path": raw,
        "path": unquote(raw.decode("latin-1")),
        "root_path": "/orgs/" + unquote(prefix[1].decode()),
    }


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((v.decode("latin-1") for k, v in scope["headers"] if k.lower() == name), "")


def _again(body: bytes) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
