"""The ASGI application: path normalisation, faults, accounting and errors around the endpoints."""

from __future__ import annotations

import gzip
import logging
from email.utils import format_datetime
from typing import Any

from holdfast.orgsim.accounting import client_name
from holdfast.orgsim.api import admin, admin_files, controls, openapi, status
from holdfast.orgsim.api.bulk1 import batches as bulk1_batches
from holdfast.orgsim.api.bulk1 import jobs as bulk1_jobs
from holdfast.orgsim.api.bulk1 import results as bulk1_results
from holdfast.orgsim.api.bulk2 import ingest, query_jobs
from holdfast.orgsim.api.intake import access_token, check_lengths, check_origin, check_version, method_meant, unpacked
from holdfast.orgsim.api.rest import routes as rest
from holdfast.orgsim.api.soap import calls as soap
from holdfast.orgsim.api.web import Call, Reply, Route, Router, json_reply, path_of
from holdfast.orgsim.auth import admin as sign_in_admin
from holdfast.orgsim.auth import authorize, browser, device, identity, introspect, revoke, token
from holdfast.orgsim.errors import ApiError, unexpected
from holdfast.orgsim.faults.scripted import Faults
from holdfast.orgsim.listeners.hosts import come_back
from holdfast.orgsim.org import Org
from holdfast.orgsim.rules.formulas import today_formulas
from holdfast.orgsim.saving.recyclebin import purge_expired
from holdfast.orgsim.saving.resetting import Baseline

LOADS = ("/_org/load", "/_org/objects")
COMPRESS_FROM_BYTES = 10_000
logger = logging.getLogger(__name__)


def make_router() -> Router:
    """Every route of the org."""
    router = Router()
    for module in (
        token,
        revoke,
        introspect,
        identity,
        authorize,
        browser,
        device,
        sign_in_admin,
        rest,
        query_jobs,
        ingest,
        bulk1_jobs,
        bulk1_batches,
        bulk1_results,
        soap,
        admin,
        controls,
        status,
        admin_files,
    ):
        router.include(module.router)
    openapi.serve(router)
    return router


class OrgApp:
    """Serves one org."""

    def __init__(self, org: Org, faults: Faults | None = None) -> None:
        self.org = org
        self.faults = faults or Faults()
        self.faults.attach(org)
        self.baseline = Baseline.of(org)
        self.router = make_router()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """The ASGI entry."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        raw = scope.get("raw_path", b"").decode("latin-1").split("?")[0] or scope["path"]
        path = path_of(raw)
        body = await read_body(receive)
        call = Call(self.org, scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)
        call.origin, call.instance_url = self._addresses(scope, headers)
        call.client_ip = (scope.get("client") or ("",))[0]
        try:
            if path.startswith("/services"):
                check_lengths(raw.encode("latin-1") + b"?" + scope["query_string"], scope["headers"])
            elif path.startswith(("/_org", "/login")):
                check_origin(headers, call.origin)
            call.body = unpacked(headers, body)
        except ApiError as error:
            await send_reply(send, json_reply(error.body(), error.status), call.method)
            return
        if path.startswith("/_org"):
            await send_reply(send, await self._admin(call), scope["method"])
            return
        with self.faults.crowd.running(self.org.clock.now()):
            await self._answer(call, send)

    async def _answer(self, call: Call, send: Any) -> None:
        refusal = self.faults.crowded(call)
        if refusal is not None:
            await send_reply(send, refusal, call.method)
            return
        fault = self.faults.take(call)
        if fault is not None and await self.faults.before(fault, call, send):
            return
        with self.faults.during(fault, self.org):
            reply = _compressed(call, await self.dispatch(call))
        reply.headers.setdefault("Date", format_datetime(self.org.clock.now(), usegmt=True))
        self._note(call, reply)
        if fault is not None:
            reply.gather()
            await self.faults.answer(fault, call, reply, send)
        else:
            await send_reply(send, reply, call.method)

    def _addresses(self, scope: dict[str, Any], headers: dict[str, str]) -> tuple[str, str]:
        scheme, host, prefix = scope.get("scheme", "http"), headers.get("host", ""), str(scope.get("root_path", ""))
        back = come_back(scheme, host, self.org.domain_host)
        if back is None:
            return self.org.instance_url + prefix, self.org.instance_url + prefix
        return f"{scheme}://{host.strip().lower()}{prefix}", back + prefix

    def _note(self, call: Call, reply: Reply) -> None:
        request = f"{call.method} {call.path}"
        name = call.client or client_name(call.headers)
        self.org.accounting.heard(name, request, reply.status, reply.size, self.org.clock.now())

    async def _admin(self, call: Call) -> Reply:
        if call.path == "/_org/faults":
            return self.faults.admin(call)
        if call.path == "/_org/status":
            return status.standing(call, self.faults)
        if (call.method, call.path) == ("POST", "/_org/reset"):
            return controls.answer_reset(call, self.faults, self.baseline)
        if call.method == "POST" and call.path in LOADS:
            with self.baseline.following(self.org):
                return await self.dispatch(call)
        return await self.dispatch(call)

    async def dispatch(self, call: Call) -> Reply:
        """Answer one request, errors included; composite sends its parts through here too."""
        route: Route | None = None
        if call.part and (struck := self.faults.of_part(call)) is not None:
            return struck
        try:
            method = method_meant(call.method, call.query)
            route, call.params = self.router.find(method, call.path)
            check_version(call.params.get("version"), self.org.oldest_version)
            if route.authenticated:
                call.session = self.org.sessions.use_for_api(
                    access_token(call.headers, call.query), self.org.clock.now()
                )
            call.dispatch = self.dispatch
            purge_expired(self.org)
            today_formulas(self.org)
            self.org.schedule.run_due(self.org.clock.now())
            if call.path.startswith("/services"):
                self.org.accounting.by_route[(method, route.template)] += 1
            if route.counted and not call.part:
                self.org.accounting.charge(self.org.clock.now())
            reply = await route.handler(call)
        except ApiError as error:
            reply = json_reply(error.body(), error.http_status)
            if error.status == 401:
                reply.headers["WWW-Authenticate"] = "Token"
        except Exception:
            mistake = unexpected()
            logger.exception("%s %s: %s", call.method, call.path, mistake.message)
            reply = json_reply(mistake.body(), mistake.status)
        if call.path.startswith("/services/data/v"):
            used = self.org.accounting.used(self.org.clock.now())
            reply.headers["Sforce-Limit-Info"] = f"api-usage={used}/{self.org.accounting.limit}"
        return reply


def _compressed(call: Call, reply: Reply) -> Reply:
    wanted = "gzip" in call.headers.get("accept-encoding", "")
    if wanted and call.org.settings.compress and reply.file is None and len(reply.body) >= COMPRESS_FROM_BYTES:
        reply.body = gzip.compress(reply.body, compresslevel=1, mtime=0)
        reply.headers["Content-Encoding"] = "gzip"
    return reply


async def read_body(receive: Any) -> bytes:
    """The whole request body."""
    message = await receive()
    if not message.get("more_body"):
        return bytes(message.get("body", b""))
    chunks = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        chunks.append(message.get("body", b""))
    return b"".join(chunks)


async def send_reply(send: Any, reply: Reply, method: str) -> None:
    """Send a complete answer."""
    await send(reply.start(reply.size))
    if method == "HEAD" or reply.file is None:
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else reply.body})
        return
    await send({"type": "http.response.body", "body": reply.body, "more_body": True})
    for piece in reply.file.pieces():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def lifespan(receive: Any, send: Any) -> None:
    """The ASGI lifespan: there is nothing to start or to end."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
