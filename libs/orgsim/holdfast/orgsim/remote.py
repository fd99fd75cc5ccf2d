"""How the commands talk to a running org."""

from __future__ import annotations

import json
from typing import Any

import typer


def ask(method: str, url: str, path: str, *, timeout_s: float, **options: Any) -> str:
    """The text of an answer of `url`'s admin API. `options` as httpx takes them: `json`, `content`, `params`.

    Raises:
        typer.Exit: the org refused, which has been printed, or it is not there.
    """
    import httpx  # noqa: PLC0415 - a server has no use for it, and it is a fifth of what starting one takes

    url = url if "://" in url else f"http://{url}"
    try:
        with httpx.Client(timeout=timeout_s, trust_env=False) as client:
            answer = client.request(method, url.rstrip("/") + path, **options)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        typer.echo(f"{url}: {error or type(error).__name__}", err=True)
        raise typer.Exit(1) from error
    if answer.is_error:
        typer.echo(_sentences(answer.text), err=True)
        raise typer.Exit(1)
    return answer.text


def _sentences(answer: str) -> str:
    """What an error answer says; all of it if it is not the org's."""
    try:
        return "\n".join(one["message"] for one in json.loads(answer))
    except (ValueError, TypeError, KeyError):
        return answer
