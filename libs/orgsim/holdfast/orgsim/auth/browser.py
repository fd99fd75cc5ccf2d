"""A person in a browser: the login page, the session cookie, and frontdoor.jsp, which turns a token into one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode, urlsplit

from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.auth import pages
from holdfast.orgsim.auth.oauth import OAuthError, form_of, note_login
from holdfast.orgsim.auth.passwords import LoginRefusedError
from holdfast.orgsim.auth.sessions import Session

router = Router()
COOKIE = "sid"
APPLICATION = "Application"  # what the login history calls a login by browser
WRONG = "Please check your username and password. If you still can't log in, contact your Salesforce administrator."


def prefix(call: Call) -> str:
    """What stands before every path of the org: empty, or `/orgs/<name>`."""
    return urlsplit(call.instance_url).path


def redirect(address: str, headers: dict[str, str] | None = None) -> Reply:
    """Go there."""
    return Reply(302, b"", pages.HTML_TYPE, {"Location": address, "Cache-Control": "no-store", **(headers or {})})


def browser_session(call: Call) -> Session | None:
    """The session of the request's cookie."""
    try:
        cookie = SimpleCookie(call.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if cookie is None else call.org.sessions.look(cookie.value, call.org.clock.now())


def confirmation(session: Session, what: str) -> str:
    """Stands in our forms, so that another site's form in the same browser is not taken for ours."""
    return hmac.new(session.token.encode(), what.encode(), hashlib.sha256).hexdigest()


def confirmed(session: Session, what: str, given: str) -> bool:
    """Whether the form was ours."""
    return secrets.compare_digest(confirmation(session, what).encode(), given.encode())


def to_login(call: Call, start: str, username: str = "") -> Reply:
    """To the login page, and from there to `start`."""
    query = {"startURL": start} | ({"un": username} if username else {})
    return redirect(f"{prefix(call)}/login?{urlencode(query)}")


@router.add("GET", "/login", authenticated=False, counted=False)
async def login_page(call: Call) -> Reply:
    """The login page."""
    return _form(call, _local(call.query.get("startURL", "")), call.query.get("un", ""))


@router.add("POST", "/login", authenticated=False, counted=False)
async def log_in(call: Call) -> Reply:
    """Check username and password; the security token is for the API only."""
    form = form_of(call)
    username, start = form.get("un", "").strip(), _local(form.get("startURL", ""))
    desk, now = call.org.sign_in, call.org.clock.now()
    try:
        user = desk.passwords.check(username, form.get("pw", ""), ip=call.client_ip, now=now, with_token=False)
    except LoginRefusedError as refused:
        note_login(call, username, None, APPLICATION, refused.why.value)
        return _form(call, start, username, WRONG)
    note_login(call, username, None, APPLICATION, "Success")
    session = call.org.sessions.open(user, now)
    if not start:
        done = pages.message("You are logged in", f"{user.username}, {call.org.settings.name}")
        done.headers["Set-Cookie"] = _cookie(call, session)
        return done
    return redirect(start, {"Set-Cookie": _cookie(call, session)})


@router.add("GET", "/secur/logout.jsp", authenticated=False, counted=False)
async def log_out(call: Call) -> Reply:
    """End the browser's session."""
    session = browser_session(call)
    if session is not None:
        call.org.sessions.revoke(session.token)
    return redirect(f"{prefix(call)}/login", {"Set-Cookie": f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"})


@router.add("POST", "/services/oauth2/singleaccess", authenticated=False, counted=False)
async def single_access(call: Call) -> Reply:
    """A link that signs a browser in with the access token's session."""
    form = form_of(call)
    token = form.get("access_token") or call.headers.get("authorization", "").rpartition(" ")[2]
    session = call.org.sessions.look(token, call.org.clock.now())
    if session is None:
        return OAuthError("invalid_grant", "expired access/refresh token").reply()
    if not session.scopes & {"web", "full"}:
        return OAuthError("invalid_scope", "the requested scope is not allowed").reply()
    query = {"otp": call.org.sign_in.one_time(session.token)}
    if _local(form.get("redirect_uri", "")):
        query["startURL"] = form["redirect_uri"]
    return json_reply({"frontdoor_uri": f"{call.instance_url}/secur/frontdoor.jsp?{urlencode(query)}"})


@router.add("GET", "/secur/frontdoor.jsp", authenticated=False, counted=False)
@router.add("POST", "/secur/frontdoor.jsp", authenticated=False, counted=False)
async def frontdoor(call: Call) -> Reply:
    """Sign a browser in by a one-time password or a session id."""
    form = form_of(call)
    token = call.org.sign_in.redeem_one_time(form.get("otp", "")) or form.get("sid", "")
    session = call.org.sessions.look(token, call.org.clock.now())
    start = _local(form.get("startURL") or form.get("retURL", ""))
    if session is None:
        return to_login(call, start)
    own = call.org.sessions.open(session.user, call.org.clock.now())
    return redirect(start or f"{prefix(call)}/", {"Set-Cookie": _cookie(call, own)})


def _form(call: Call, start: str, username: str, error: str = "") -> Reply:
    return pages.login(f"{prefix(call)}/login", start, call.org.settings.name, username, error)


def _cookie(call: Call, session: Session) -> str:
    secure = "; Secure" if call.instance_url.startswith("https://") else ""
    return f"{COOKIE}={session.token}; Path=/; HttpOnly; SameSite=Lax{secure}"


def _local(address: str) -> str:
    """The address if it stays on this host; a login page must not send people elsewhere."""
    own = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if own else ""
