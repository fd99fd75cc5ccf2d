"""logout, getUserInfo, and what login() tells about the user."""

from __future__ import annotations

from holdfast.orgsim.api.soap.envelope import SoapCall, elements
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.org import Org


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
