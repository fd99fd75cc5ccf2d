"""What `serve` prints once the orgs answer: lines for a person, or one line of JSON for a machine."""

from __future__ import annotations

import json
from typing import Any

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")


def tell_json(info: dict[str, Any]) -> None:
    """The connection info as one line."""
    print(json.dumps(info), flush=True)


def tell(info: dict[str, Any], *, shows_secret: bool) -> None:
    """What a person needs to point a client at the orgs. A secret that the person chose is not repeated."""
    lines = [f"http    {info['url']}", f"status  {info['url']}/_org/   (in a browser)"]
    if "https_url" in info:
        lines += [
            f"https   {info['https_url']}   (and, by the proxy, login.salesforce.com and My Domains)",
            f"proxy   {info['proxy_url']}",
            f"CA      {info['ca_file']}",
        ]
    for org in info["orgs"]:
        lines += _org(org, shows_secret=shows_secret or org is not info["orgs"][0])
    if "https_url" in info:
        trust = " ".join(f"{name}={info['ca_file']}" for name in CA_VARIABLES)
        lines += ["", "Clients with fixed https hosts:", f"  export HTTPS_PROXY={info['proxy_url']} {trust}"]
    print("\n".join([*lines, "", "Ctrl-C stops it."]), flush=True)


def _org(org: dict[str, Any], *, shows_secret: bool) -> list[str]:
    secret = [f"  client secret  {org['client_secret']}"] if shows_secret else []
    return [
        "",
        f"{org['kind']} org {org['name']}   {org['domain']}   {org['url']}",
        f"  client id      {org['client_id']}",
        *secret,
        f"  user           {org['username']}",
        f"  password       {org['password']}   security token {org['security_token']}",
    ]
