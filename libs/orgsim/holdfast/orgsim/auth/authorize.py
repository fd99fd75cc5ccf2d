"""`/services/oauth2/authorize`: the web server flow (with PKCE) and the user-agent flow, up to the redirect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from holdfast.orgsim.api.web import Call, Reply, Router
from holdfast.orgsim.auth import pages
from holdfast.orgsim.auth.apps import ConnectedApp, in_order
from holdfast.orgsim.auth.browser import browser_session, confirmation, confirmed, prefix, redirect, to_login
from holdfast.orgsim.auth.grants import CODE_LIFETIME, Code
from holdfast.orgsim.auth.oauth import OAuthError, admit, form_of, token_answer
from holdfast.orgsim.auth.sessions import Session

router = Router()
AUTHORIZE = "/services/oauth2/authorize"
CONSENT = "/setup/secur/RemoteAccessAuthorizationPage.apexp"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}=?")
_DANGEROUS_SCHEMES = frozenset({"javascript", "data", "vbscript", "file", "blob"})


@dataclass(frozen=True)
class Request:
    """A checked request for authorization."""

    app: ConnectedApp
    redirect_uri: str
    kind: str
    scopes: frozenset[str]
    state: str | None
    challenge: str | None
    nonce: str | None

    def back(self, answer: dict[str, str]) -> Reply:
        """Back to the client, with the answer where the flow puts it."""
        given = answer if self.state is None else {**answer, "state": self.state}
        return redirect(_with(self.redirect_uri, given, fragment=self.kind == "token"))


class BackWithError(Exception):
    """An error that the client is told of by the redirect."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


@router.add("GET", AUTHORIZE, authenticated=False, counted=False)
@router.add("POST", AUTHORIZE, authenticated=False, counted=False)
async def authorize(call: Call) -> Reply:
    """Sign the user in, ask for consent, and send the browser back with a code or a token."""
    form = form_of(call)
    try:
        request = _checked(call, form)
        return _next_step(call, form, request)
    except OAuthError as error:
        return pages.oauth_error(error.error, error.description)
    except BackWithError as error:
        return error.reply


def _next_step(call: Call, form: dict[str, str], request: Request) -> Reply:
    session = browser_session(call)
    prompts = frozenset(form.get("prompt", "").split())
    silent = "none" in prompts or form.get("immediate") == "true"
    approved = session is not None and _has_approved(request.app, session) and "consent" not in prompts
    if silent:
        if session is None or not approved:
            return request.back({"error": "immediate_unsuccessful"})
        return _granted(call, request, session)
    if session is None or prompts & {"login", "select_account"}:
        left = " ".join(sorted(prompts - {"login", "select_account"}))
        again = {**form, "prompt": left} if left else {k: v for k, v in form.items() if k != "prompt"}
        return to_login(call, f"{prefix(call)}{AUTHORIZE}?{urlencode(again)}", form.get("login_hint", ""))
    if approved:
        return _granted(call, request, session)
    query = urlencode(form)
    hidden = {"request": query, "confirmation": confirmation(session, query)}
    name, scopes = session.user.username, in_order(request.scopes)
    return pages.consent(f"{prefix(call)}{CONSENT}", request.app.name, name, scopes, hidden)


@router.add("POST", CONSENT, authenticated=False, counted=False)
async def consent(call: Call) -> Reply:
    """The user's answer on the consent page."""
    form, session = form_of(call), browser_session(call)
    query = form.get("request", "")
    if session is None:
        return to_login(call, f"{prefix(call)}{AUTHORIZE}?{query}")
    if not confirmed(session, query, form.get("confirmation", "")):
        return pages.oauth_error("invalid_request", "the form was not sent by this page")
    try:
        request = _checked(call, dict(parse_qsl(query, keep_blank_values=True)))
        if "save" not in form:
            return request.back({"error": "access_denied", "error_description": "end-user denied authorization"})
        request.app.approved.add(session.user.username)
        return _granted(call, request, session)
    except OAuthError as error:
        return pages.oauth_error(error.error, error.description)
    except BackWithError as error:
        return error.reply


def _granted(call: Call, request: Request, session: Session) -> Reply:
    user, desk, now = session.user, call.org.sign_in, call.org.clock.now()
    if request.kind == "code":
        code = Code(request.app, user, request.redirect_uri, request.scopes, request.challenge, request.nonce,
                    now + CODE_LIFETIME)  # fmt: skip
        return request.back({"code": desk.grants.issue_code(code)})
    try:
        admit(call, user, request.app, "Remote Access 2.0")
    except OAuthError as error:
        return request.back({"error": error.error, "error_description": error.description})
    refresh = None
    if "refresh_token" in request.scopes and urlsplit(request.redirect_uri).scheme not in ("http", "https"):
        refresh = desk.grants.issue_refresh(request.app, user, request.scopes, now).value
    answer = token_answer(
        call, user, request.app, request.scopes, refresh_token=refresh, shows_refresh=True, nonce=request.nonce
    )
    return request.back(answer)


def _has_approved(app: ConnectedApp, session: Session) -> bool:
    return not app.asks_consent or session.user.username in app.approved


def _checked(call: Call, form: dict[str, str]) -> Request:
    """The request, checked.

    Raises:
        OAuthError: client or address are not right, so nobody may be sent there.
        BackWithError: the rest.
    """
    app = call.org.sign_in.apps.find(form.get("client_id", ""))
    if app is None:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    address = form.get("redirect_uri", "") or (app.callbacks[0] if len(app.callbacks) == 1 else "")
    if not _may_redirect(app, address):
        raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
    kind, scopes = form.get("response_type", ""), app.grantable(form.get("scope", ""))
    request = Request(app, address, kind, scopes or frozenset(), form.get("state"), form.get("code_challenge"),
                      form.get("nonce"))  # fmt: skip
    error = _wrong_with(request, form, scopes_are_known=scopes is not None)
    if error is not None:
        raise BackWithError(request.back({"error": error[0], "error_description": error[1]}))
    return request


def _wrong_with(request: Request, form: dict[str, str], *, scopes_are_known: bool) -> tuple[str, str] | None:
    flow = {"code": "web_server", "token": "user_agent"}.get(request.kind)
    if flow is None:
        return "unsupported_response_type", "response type not supported"
    if flow not in request.app.flows:
        return "invalid_request", "flow not enabled for this app"
    if not scopes_are_known:
        return "invalid_scope", "the requested scope is not allowed"
    wrong = _wrong_with_challenge(request, form.get("code_challenge_method", "S256"))
    return None if wrong is None else ("invalid_request", wrong)


def _wrong_with_challenge(request: Request, method: str) -> str | None:
    """A challenge without a method is taken as S256: jsforce sends it so."""
    if request.challenge is None:
        needed = request.app.requires_pkce and request.kind == "code"
        return "missing required code challenge" if needed else None
    if method != "S256":
        return "code challenge method must be S256"
    return None if _CHALLENGE.fullmatch(request.challenge) else "invalid code challenge"


def _may_redirect(app: ConnectedApp, address: str) -> bool:
    if app.callbacks:
        return address in app.callbacks
    scheme = urlsplit(address).scheme.lower()
    return bool(scheme) and scheme not in _DANGEROUS_SCHEMES and address.isascii() and address.isprintable()


def _with(address: str, answer: dict[str, str], *, fragment: bool) -> str:
    if fragment:
        return f"{address.partition('#')[0]}#{urlencode(answer)}"
    return f"{address}{'&' if '?' in address else '?'}{urlencode(answer)}"
