"""The pages that a person sees on the way to a token: login, consent, device, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from holdfast.orgsim.api.web import Reply

HTML_TYPE = "text/html;charset=UTF-8"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;background:#f4f6f9;color:#181818;margin:0}"
    "main{max-width:22rem;margin:4rem auto;background:#fff;padding:2rem;border-radius:.5rem;border:1px solid #d8dde6}"
    "h1{font-size:1.25rem;margin:0 0 1rem}label{display:block;margin:1rem 0 .25rem}li{margin:.25rem 0}"
    "input{box-sizing:border-box;width:100%;padding:.5rem;font:inherit;border:1px solid #747474;border-radius:.25rem}"
    "button{margin:1.25rem .5rem 0 0;padding:.5rem 1.25rem;font:inherit;border-radius:.25rem;border:1px solid #0176d3;"
    "background:#0176d3;color:#fff}button.second{background:#fff;color:#0176d3}"
    "p.error{color:#ba0517}p.where{color:#5c5c5c;font-size:.875rem}"
)
SCOPE_NAMES = {
    "api": "Manage user data via APIs",
    "web": "Manage user data via Web browsers",
    "full": "Full access",
    "refresh_token": "Perform requests at any time",
    "offline_access": "Perform requests at any time",
    "id": "Access the identity URL service",
    "openid": "Access unique user identifiers",
    "profile": "Access the identity URL service",
    "email": "Access the identity URL service",
    "chatter_api": "Access Connect REST API resources",
    "visualforce": "Access Visualforce applications",
    "custom_permissions": "Access custom permissions",
}


def page(title: str, body: str, status: int = 200) -> Reply:
    """A page of ours around `body`, which is HTML already."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return Reply(status, html.encode(), HTML_TYPE, dict(_HEADERS))


def login(action: str, start: str, org_name: str, username: str = "", error: str = "") -> Reply:
    """The form for username and password; `start` is where it leads afterwards."""
    focus = ("", " autofocus") if username else (" autofocus", "")
    body = (
        f'<p class="where">{escape(org_name)}, a local org</p>{_error(error)}'
        f'<form method="post" action="{escape(action)}">'
        f'<label for="username">Username</label><input id="username" name="un" type="text" autocomplete="username" '
        f'value="{escape(username)}" required{focus[0]}>'
        '<label for="password">Password</label><input id="password" name="pw" type="password" '
        f'autocomplete="current-password" required{focus[1]}>'
        f'{_hidden({"startURL": start})}<button id="Login" name="Login" value="Log In">Log In</button></form>'
    )
    return page("Log in", body)


def consent(action: str, app_name: str, username: str, scopes: str, hidden: Mapping[str, str]) -> Reply:
    """Whether the app may act for the user."""
    names = dict.fromkeys(SCOPE_NAMES.get(scope, scope) for scope in scopes.split())
    items = "".join(f"<li>{escape(name)}</li>" for name in names)
    body = (
        f"<p><strong>{escape(app_name)}</strong> is asking to:</p><ul>{items}</ul>"
        f'<p class="where">You are signed in as {escape(username)}.</p>'
        f'<form method="post" action="{escape(action)}">{_hidden(hidden)}'
        '<button id="oaapprove" name="save" value="Allow">Allow</button>'
        '<button id="oadeny" class="second" name="cancel" value="Deny">Deny</button></form>'
    )
    return page("Allow Access?", body)


def device(action: str, user_code: str = "", error: str = "") -> Reply:
    """Where the user enters the code that the device shows."""
    body = (
        f"<p>Enter the code displayed by your device.</p>{_error(error)}"
        f'<form method="post" action="{escape(action)}"><label for="code">Code</label>'
        f'<input id="code" name="user_code" type="text" autocomplete="off" value="{escape(user_code)}" required '
        "autofocus>"
        '<button name="save" value="Connect">Connect</button></form>'
    )
    return page("Connect a Device", body)


def message(title: str, text: str, status: int = 200) -> Reply:
    """A page that only tells something."""
    return page(title, f"<p>{escape(text)}</p>", status)


def oauth_error(error: str, description: str) -> Reply:
    """An error that must not be sent to the redirect address, because that may be a stranger's."""
    body = (
        "<p>We can&#39;t authorize you because of an OAuth error. For more information, contact your Salesforce "
        f"administrator.</p><p>OAUTH_ERROR : error={escape(error)}&amp;error_description={escape(description)}</p>"
    )
    return page("OAuth Error", body, 400)


def _error(text: str) -> str:
    return f'<p class="error" id="error" role="alert">{escape(text)}</p>' if text else ""


def _hidden(values: Mapping[str, str]) -> str:
    return "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in values.items())
