"""Live progress of a run or a verification: a moving display on a terminal, plain lines in a pipe."""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from holdfast.launcher.commands import output
from holdfast.launcher.commands.failure import UnreachableError
from holdfast.launcher.commands.session import path

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from holdfast.launcher.commands.api import Api

ENDED = frozenset({"completed", "partial", "failed", "cancelled"})
_SHOWN_OBJECTS = 15
_BAR_WIDTH = 24


@dataclass(frozen=True)
class Pace:
    """How often to ask and to print, in seconds, and how long to bear an API that does not answer."""

    ask_s: float = 0.25
    line_s: float = 5.0
    patience_s: float = 60.0


class Display(Protocol):
    """Shows a state of the run; a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, state: dict[str, Any]) -> None:
        """The newest state."""


class Silent:
    """For `--json`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def show(self, state: dict[str, Any]) -> None:
        """Nothing."""


class Lines(Silent):
    """A line when the state of the run changes, and now and then while it does not."""

    def __init__(self, every_s: float, line: Callable[[dict[str, Any]], str]) -> None:
        self._every_s = every_s
        self._line = line
        self._state = ""
        self._due = 0.0

    def show(self, state: dict[str, Any]) -> None:
        now = time.monotonic()
        if state["state"] == self._state and now < self._due:
            return
        self._state, self._due = state["state"], now + self._every_s
        print(self._line(state), flush=True)
        if forecast_line(state):
            print(forecast_line(state), flush=True)


class Screen:
    """Redraws in place."""

    def __init__(self, render: Callable[[dict[str, Any]], Any]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._render = render
        self._live: Live = Live(console=Console(highlight=False), refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, state: dict[str, Any]) -> None:
        self._live.update(self._render(state))


def follow_run(api: Api, run_id: str, *, as_json: bool, pace: Pace = Pace()) -> dict[str, Any]:
    """Show a run until it ends; its last state. Bears an API that restarts.

    Raises:
        CommandError: The API does not answer for a minute, or says no.
    """
    with _display(as_json, pace, run_line, run_screen) as display:
        return _follow(api, path("runs", run_id), display, pace, lambda state: state["state"] in ENDED)


def follow_verification(api: Api, verification_id: str, *, as_json: bool, pace: Pace = Pace()) -> dict[str, Any]:
    """Show a verification until it ends; its last state. Raises as `follow_run`."""
    with _display(as_json, pace, verification_line, verification_line) as display:
        at = path("verifications", verification_id)
        return _follow(api, at, display, pace, lambda state: state["state"] != "running")


def _display(
    as_json: bool,
    pace: Pace,
    line: Callable[[dict[str, Any]], str],
    screen: Callable[[dict[str, Any]], Any],
) -> Display:
    if as_json:
        return Silent()
    return Screen(screen) if output.on_terminal() else Lines(pace.line_s, line)


def _follow(api: Api, at: str, display: Display, pace: Pace, ended: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    answered = time.monotonic()
    while True:
        try:
            state: dict[str, Any] = api.get(at)
        except UnreachableError:
            if time.monotonic() - answered > pace.patience_s:
                raise
        else:
            answered = time.monotonic()
            display.show(state)
            if ended(state):
                return state
        time.sleep(pace.ask_s)


def run_line(run: dict[str, Any]) -> str:
    """A run in one line: objects, rows, pace, API calls, time left."""
    now = run.get("progress")
    waits = _waits(now["waiting"]) if now and now.get("waiting") else ""
    if not now or not now["objects"]:
        return f"run {run['number']} {run['state']}" + (f": {waits}" if waits else "")
    parts = [
        f"run {run['number']} {run['state']}: {now['objects_done']}/{now['objects']} objects",
        f"{now['rows']:,} of {now['estimated_rows']:,} rows",
        f"{now['rows_per_second']:,.0f} rows/s",
        f"{now['api_calls']:,} API calls",
    ]
    if waits:
        parts.append(waits)
    elif run["state"] not in ENDED and now["seconds_left"] is not None:
        parts.append(f"{output.duration(now['seconds_left'])} left")
    elif run["state"] in ENDED:
        parts.append(f"{output.duration(now['seconds_elapsed'])}")
    return ", ".join(parts)


def _waits(waiting: dict[str, Any]) -> str:
    """What the run waits for, in words."""
    if waiting["until"]:
        until = f"until {output.moment(waiting['until'])} UTC at the latest"
    else:
        until = f"looked at again at {output.moment(waiting['next_look_at'])} UTC"
    return output.visible(f"waiting, {until}: {waiting['reason']}")


def forecast_line(run: dict[str, Any]) -> str:
    """When the API budget lets the run end; empty unless it is the budget that decides."""
    found = (run.get("progress") or {}).get("forecast") or {}
    return output.visible(found.get("sentence", ""))


def verification_line(found: dict[str, Any]) -> str:
    """A verification in one line."""
    files = f"{found['files_done']:,} of {found['files_total']:,} files"
    return f"{found['state']}: {files}, {output.size(found['bytes_done'])} read {found['object']}".rstrip()


def run_screen(run: dict[str, Any]) -> Group:
    """A run as a table of its objects, those at work first, under a line of totals."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("Object")
    table.add_column("")
    table.add_column("Rows", justify="right")
    table.add_column("Calls", justify="right")
    table.add_column("State")
    order = {"reading": 0, "extracted": 1, "waiting": 2, "failed": 3, "done": 4}
    objects = sorted(run["objects"], key=lambda each: (order.get(each["state"], 2), each["object"]))
    for each in objects[:_SHOWN_OBJECTS]:
        rows = f"{each['rows']:,} / {each['estimated_rows']:,}"
        table.add_row(
            Text(output.visible(each["object"])), _bar(each), rows, f"{each['api_calls']:,}", Text(each["state"])
        )
    if len(objects) > _SHOWN_OBJECTS:
        table.add_row(Text(f"and {len(objects) - _SHOWN_OBJECTS} more"))
    lines = [Text(run_line(run), style="bold"), Text(forecast_line(run))]
    return Group(*(line for line in lines if line.plain), table)


def _bar(each: dict[str, Any]) -> Any:
    from rich.progress_bar import ProgressBar

    total = max(each["estimated_rows"], each["rows"], 1)
    done = total if each["state"] == "done" else each["rows"]
    return ProgressBar(total=total, completed=done, width=_BAR_WIDTH)
