"""What a fault can do, and the check of each effect's value: a script that is wrong is refused where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from holdfast.orgsim.faults.wording import SENTENCES

MOST_LATE_S = 600
Check = Callable[[Any], str | None]


class ScriptError(ValueError):
    """A script that cannot be obeyed; the message names the key."""


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be text"


def _anything(_value: Any) -> str | None:
    return None


def _whole(least: int, most: int | None = None) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if fits and (most is None or value <= most):
            return None
        return f"must be a whole number from {least}" + (f" to {most}" if most is not None else "")

    return check


def seconds(value: Any) -> str | None:
    """Whether a value is a number of seconds."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return None if fits else "must be a number of seconds, 0 or more"


def _late(value: Any) -> str | None:
    return seconds(value) or (None if value <= MOST_LATE_S else f"must be {MOST_LATE_S} seconds at most")


def moment(value: Any) -> str | None:
    """Whether a value is a moment."""
    try:
        fits = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        fits = False
    return None if fits else "must be a moment with its offset, e.g. 2026-01-31T12:00:00Z"


def _one_of(*allowed: str) -> Check:
    def check(value: Any) -> str | None:
        return None if value in allowed else f"must be one of {', '.join(allowed)}"

    return check


def _texts(value: Any) -> str | None:
    fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if fits else "must be a list of texts"


def _off(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value != 0
    return None if fits else "must be a whole number, not 0"


def _parts(known: dict[str, Check], needed: tuple[str, ...] = ()) -> Check:
    """An object with these keys."""

    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"must be an object with {', '.join(known)}"
        for key in value:
            if key not in known:
                return f".{key} is unknown; known are {', '.join(known)}"
        for key in needed:
            if key not in value:
                return f".{key} is missing"
        for key, item in value.items():
            wrong = known[key](item)
            if wrong is not None:
                return f".{key} {wrong}"
        return None

    return check


def _either(*checks: Check) -> Check:
    def check(value: Any) -> str | None:
        wrongs = [each(value) for each in checks]
        return None if None in wrongs else wrongs[-1 if isinstance(value, dict) else 0]

    return check


def _error(value: Any) -> str | None:
    if isinstance(value, str):
        known = ", ".join(sorted(SENTENCES))
        return None if value in SENTENCES else f"knows no sentence for {value}; give an object, or one of {known}"
    return _parts({"code": _text, "message": _text, "status": _whole(100, 599)}, ("code",))(value)


_FIELD = _parts({"name": _text, "type": _text, "label": _text, "length": _whole(0)}, ("name",))

EFFECTS: dict[str, Check] = {
    # the answer
    "status": _whole(100, 599),
    "body": _anything,
    "content_type": _text,
    "error": _error,
    "html": _flag,
    "gzip": _one_of("corrupt", "unasked"),
    "lie": _parts(
        {
            "drop": _whole(1),
            "repeat": _whole(1),
            "reorder": _flag,
            "header_twice": _flag,
            "last_page": _flag,
            "count": _off,
        }
    ),
    # the connection
    "latency_s": seconds,
    "reset": _flag,
    "close_after": _whole(0),
    "truncate": _whole(0),
    "drip": _parts({"bytes": _whole(1), "every_s": seconds}, ("bytes", "every_s")),
    # the org
    "expire_sessions": _flag,
    "expire_cursors": _flag,
    "retire_versions_below": _whole(31),
    "daily_limit": _parts({"until": moment, "for_s": seconds}),
    "concurrent_requests": _parts({"limit": _whole(0), "longer_than_s": seconds}),
    "describe": _parts(
        {
            "object": _text,
            "add": _FIELD,
            "remove": _text,
            "retype": _FIELD,
            "drop": _flag,
            "rename": _parts({"name": _text, "to": _text}, ("name", "to")),
        },
        ("object",),
    ),
    "job": _either(
        _one_of("Failed", "stuck"),
        _parts({"state": _one_of("Failed", "stuck"), "message": _text, "after_rows": _whole(0)}, ("state",)),
    ),
    "commit_late_s": _late,
    # rows that are saved
    "rows": _parts({"code": _text, "message": _text, "object": _text, "operations": _texts}, ("code",)),
    "read_only": _flag,
}
ON_SAVES = frozenset({"rows", "read_only"})


def check_effect(effect: Any) -> None:
    """Refuse an effect that is not understood.

    Raises:
        ScriptError: naming the key.
    """
    if not isinstance(effect, dict) or not effect:
        raise ScriptError(f"effect must be an object with one of {', '.join(EFFECTS)}")
    for key, value in effect.items():
        check = EFFECTS.get(key)
        if check is None:
            raise ScriptError(f"effect.{key} is unknown; known are {', '.join(EFFECTS)}")
        wrong = check(value)
        if wrong is not None:
            raise ScriptError(f"effect.{key}{'' if wrong.startswith('.') else ' '}{wrong}")
    if ON_SAVES & effect.keys() and effect.keys() - ON_SAVES:
        raise ScriptError("effect: rows and read_only concern saves and stand alone")
