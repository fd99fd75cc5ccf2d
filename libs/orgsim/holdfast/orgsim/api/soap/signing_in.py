"""login, logout, getUserInfo."""

from __future__ import annotations

from holdfast.orgsim import ids
from holdfast.orgsim.api.soap.envelope import SoapCall, elements
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.oauth import note_login
from holdfast.orgsim.auth.passwords import LoginRefusedError, Refusal
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org

LAST_WITH_LOGIN = 64  # login() is absent from 65.0 up
_LOGIN_TYPES = {"partner": "Partner Product", "enterprise": "Other Apex API"}
_BAD_LOGIN = "Invalid username, password, security token; or user locked out."
_NEW_LOCATION = (
    f"{_BAD_LOGIN} Are you at a new location? When accessing Salesforce--either via a desktop client or the API--from "
    "outside of your company's trusted networks, you must add a security token to your password to log in. To get "
    "your new security token, log in to Salesforce. From your personal settings, enter Reset My Security Token in the "
    "Quick Find box, then select Reset My Security Token."
)


def has_login(version: str) -> bool:
    """Whether the API version still knows login()."""
    return int(version[:2]) <= LAST_WITH_LOGIN


async def login(soap: SoapCall) -> str:
    """A session for username and password with the security token appended.

    Raises:
        ApiError: INVALID_LOGIN and the other reasons of a LoginFault.
    """
    org, call, username = soap.org, soap.call, soap.argument("username")
    scope = soap.option("LoginScopeHeader", "organizationId")
    kind = _LOGIN_TYPES.get(soap.family, "Other Apex API")
    try:
        if not org.sign_in.policy.soap_login:
            raise LoginRefusedError(Refusal.OFF)
        if scope and ids.normalise(scope) != org.id:
            raise LoginRefusedError(Refusal.PASSWORD)
        user = org.sign_in.passwords.check(
            username, soap.argument("password"), ip=call.client_ip, now=org.clock.now(), with_token=True
        )
    except LoginRefusedError as refused:
        note_login(call, username, None, kind, refused.why.value)
        raise _login_fault(refused.why) from refused
    note_login(call, username, None, kind, "Success")
    session = org.sessions.open(user, org.clock.now())
    family = "c" if soap.family == "enterprise" else "u"
    values = {
        "metadataServerUrl": f"{call.instance_url}/services/Soap/m/{soap.version}/{org.id}",
        "passwordExpired": org.sign_in.passwords.of(username).expired,
        "sandbox": org.settings.kind in ("sandbox", "scratch"),
        "serverUrl": f"{call.instance_url}/services/Soap/{family}/{soap.version}/{org.id}",
        "sessionId": session.token,
        "userId": user.id,
    }
    return f"<result>{elements(values)}<userInfo>{user_info(org, user)}</userInfo></result>"


def _login_fault(why: Refusal) -> ApiError:
    if why is Refusal.TOKEN:
        return ApiError(500, "LOGIN_MUST_USE_SECURITY_TOKEN", _NEW_LOCATION)
    if why is Refusal.IP:
        return ApiError(500, "LOGIN_DURING_RESTRICTED_DOMAIN", "login during restricted domain")
    if why is Refusal.OFF:
        return ApiError(500, "INVALID_OPERATION", "SOAP API login() is disabled by default in this org.")
    return ApiError(500, "INVALID_LOGIN", _BAD_LOGIN)


async def logout(soap: SoapCall) -> str:
    """End the session that asks."""
    assert soap.call.session is not None
    soap.org.sessions.revoke(soap.call.session.token)
    return ""


async def get_user_info(soap: SoapCall) -> str:
    """Who asks, and a few facts about the org."""
    return f"<result>{user_info(soap.org, soap.user)}</result>"


def user_info(org: Org, user: User) -> str:
    """The fields of userInfo, in the platform's order."""
    account = org.schema.find("Account")
    persons = account is not None and account.find("IsPersonAccount") is not None
    values = {
        "accessibilityMode": False, "chatterExternal": False, "currencySymbol": "$",
        "orgAttachmentFileSizeLimit": 26214400, "orgDefaultCurrencyIsoCode": "USD",
        "orgDefaultCurrencyLocale": "en_US", "orgDisallowHtmlAttachments": False, "orgHasPersonAccounts": persons,
        "organizationId": org.id, "organizationMultiCurrency": org.schema.find("CurrencyType") is not None
        and account is not None and account.find("CurrencyIsoCode") is not None,
        "organizationName": org.settings.name, "profileId": org.profile_id, "roleId": "",
        "sessionSecondsValid": int(org.sessions.lifetime.total_seconds()), "userDefaultCurrencyIsoCode": "",
        "userEmail": user.username, "userFullName": user.name, "userId": user.id, "userLanguage": "en_US",
        "userLocale": "en_US", "userName": user.username, "userTimeZone": "GMT", "userType": "Standard",
        "userUiSkin": "Theme3",
    }  # fmt: skip
    return elements(values)
