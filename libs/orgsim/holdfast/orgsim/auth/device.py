"""`/setup/connect`: where the user of the device flow enters the code that the device shows."""

from __future__ import annotations

from urllib.parse import urlencode

from holdfast.orgsim.api.web import Call, Reply, Router
from holdfast.orgsim.auth import pages
from holdfast.orgsim.auth.apps import in_order
from holdfast.orgsim.auth.browser import browser_session, confirmation, confirmed, prefix, to_login
from holdfast.orgsim.auth.grants import DeviceState
from holdfast.orgsim.auth.oauth import form_of

router = Router()
CONNECT = "/setup/connect"
UNKNOWN = "The code is not valid or has expired. Check the code that your device displays."


@router.add("GET", CONNECT, authenticated=False, counted=False)
async def connect_page(call: Call) -> Reply:
    """The form for the code."""
    code = call.query.get("user_code", "")
    if browser_session(call) is None:
        query = f"?{urlencode({'user_code': code})}" if code else ""
        return to_login(call, f"{prefix(call)}{CONNECT}{query}")
    return pages.device(f"{prefix(call)}{CONNECT}", code)


@router.add("POST", CONNECT, authenticated=False, counted=False)
async def connect(call: Call) -> Reply:
    """First the code, then the consent."""
    form, session, action = form_of(call), browser_session(call), f"{prefix(call)}{CONNECT}"
    if session is None:
        return to_login(call, action)
    user_code = form.get("user_code", "")
    device = call.org.sign_in.grants.device_of(user_code, call.org.clock.now())
    if device is None:
        return pages.device(action, user_code, UNKNOWN)
    if "confirmation" not in form:
        hidden = {"user_code": device.user_code, "confirmation": confirmation(session, device.user_code)}
        name, scopes = session.user.username, in_order(device.scopes)
        return pages.consent(action, device.app.name, name, scopes, hidden)
    if not confirmed(session, device.user_code, form["confirmation"]):
        return pages.oauth_error("invalid_request", "the form was not sent by this page")
    if "save" not in form:
        device.state = DeviceState.DENIED
        return pages.message("Denied", "The device was not connected.")
    device.user, device.state = session.user, DeviceState.APPROVED
    device.app.approved.add(session.user.username)
    return pages.message("Connected", f"{device.app.name} is connected. You can close this page.")
