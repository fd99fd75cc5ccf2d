"""Connected apps: the clients that may ask for tokens, and by which flows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

SCOPES = ("refresh_token", "api", "web", "full", "id", "openid", "profile", "email", "address", "phone",
          "chatter_api", "custom_permissions", "visualforce", "offline_access")  # fmt: skip
FLOWS = frozenset({"client_credentials", "jwt", "password", "web_server", "user_agent", "device", "refresh"})
_FOR_THE_API = frozenset({"refresh_token", "api", "web"})


@dataclass
class ConnectedApp:
    """A client and its settings. An app without a secret is a public client.

    `run_as` is the username of the client-credentials flow; `public_key_pem` verifies signed assertions;
    `preauthorized`: users need not have approved the app before a signed assertion speaks for them; `asks_consent`: the
    consent page is shown to a user who has not approved the app yet; no `callbacks`: any address is one.
    """

    client_id: str
    client_secret: str
    run_as: str | None = None
    public_key_pem: str | None = None
    name: str = "Connected App"
    callbacks: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset(SCOPES)
    flows: frozenset[str] = FLOWS
    preauthorized: bool = True
    asks_consent: bool = True
    requires_secret: bool = True
    requires_pkce: bool = False
    rotates_refresh_tokens: bool = False
    refresh_lifetime: timedelta | None = None
    jwt_access_tokens: bool = False
    approved: set[str] = field(default_factory=set)

    def grantable(self, asked: str) -> frozenset[str] | None:
        """The scopes for a request that asks for these; None if one is not the app's.

        Who asks for none gets those for the API, or all if there are none of them.
        """
        wanted = frozenset(asked.split())
        if not wanted <= self.scopes:
            return None
        return wanted or self.scopes & _FOR_THE_API or self.scopes


class Apps:
    """The connected apps of an org by their client id; the first is the default one."""

    def __init__(self, default: ConnectedApp) -> None:
        self.default = default
        self._by_id = {default.client_id: default}

    def add(self, app: ConnectedApp) -> None:
        """Add an app, or replace the one with its client id."""
        self._by_id[app.client_id] = app
        if app.client_id == self.default.client_id:
            self.default = app

    def find(self, client_id: str) -> ConnectedApp | None:
        """The app with this client id."""
        return self._by_id.get(client_id)

    def __iter__(self) -> Iterator[ConnectedApp]:
        return iter(self._by_id.values())


def platform_cli() -> ConnectedApp:
    """The public client that the Salesforce CLI brings along for its web login."""
    return ConnectedApp(
        "PlatformCLI",
        "",
        name="Salesforce CLI",
        callbacks=("http://localhost:1717/OauthRedirect",),
        scopes=frozenset({"refresh_token", "api", "web"}),
        flows=frozenset({"web_server", "refresh", "device"}),
        requires_secret=False,
    )


def in_order(scopes: frozenset[str]) -> str:
    """Scopes as they stand in an answer."""
    known = [name for name in SCOPES if name in scopes]
    return " ".join([*known, *sorted(scopes.difference(SCOPES))])
