"""Figures as they are taken, kept in `bench/results/`, and the page `docs/performance.md` that is made of them."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
NOTES = Path(__file__).with_name("notes.md")
RESULTS = Path(__file__).with_name("results")
HEAD = """# Performance

Made by `make bench` and `make bench-large` (`bench/README.md`); the local org serves, everything runs on one machine.
Take ratios, not seconds: machines differ, and each section says how busy this one was. Every aim stands beside a floor,
the least that the same work can cost here, and beside other people's tools, which run in the same minutes.
"""


@dataclass(frozen=True)
class Aim:
    """What was aimed at, what was measured; `met` is None where this run could not tell."""

    number: str
    text: str
    measured: str
    met: bool | None


@dataclass
class Section:
    """A table of the page."""

    key: str
    title: str
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    made: str = ""

    def text(self) -> str:
        """As Markdown."""
        raw = any(row[2] for row in self.rows)
        lines = [
            f"## {self.title}",
            "",
            "| what | figure |" + (" raw |" if raw else ""),
            "|---|---|" + "---|" * raw,
        ]
        lines += [f"| {what} | {figure} |" + (f" {runs} |" if raw else "") for what, figure, runs in self.rows]
        for aim in self.aims:
            lines += ["", f"**Aim {aim.number}**: {aim.text}. Measured: {aim.measured}: **{verdict(aim)}**."]
        lines += [part for remark in self.remarks for part in ("", remark)]
        return "\n".join([*lines, "", f"<sub>{self.made}</sub>", ""])


def verdict(aim: Aim) -> str:
    """In a word."""
    return {True: "met", False: "missed", None: "not measured"}[aim.met]


@dataclass
class Report:
    """Sections in the making. What is measured is printed at once."""

    sections: list[Section] = field(default_factory=list)

    def section(self, title: str, key: str = "") -> None:
        """Begin a table. A later one of the same key takes its place in the page."""
        print(f"\n{title}", flush=True)
        key = key or re.sub(
            r"\W+", "-", title.split(":", maxsplit=1)[0] + title.rsplit(":", maxsplit=1)[-1][:12]
        ).lower().strip("-")
        self.sections.append(Section(key, title, made=_made()))

    def add(self, what: str, figure: str, runs: str = "") -> None:
        """One figure."""
        print(f"{what:<64} {figure}" + (f"   [{runs}]" if runs else ""), flush=True)
        self.sections[-1].rows.append((what, figure, runs))

    def aim(self, number: str, text: str, measured: str, met: bool | None) -> None:
        """An aim, and whether it is met."""
        aim = Aim(number, text, measured, met)
        print(f"   aim {number}: {text}: {measured}: {verdict(aim)}", flush=True)
        self.sections[-1].aims.append(aim)

    def remark(self, text: str) -> None:
        """A sentence below the table."""
        print(f"   {text}", flush=True)
        self.sections[-1].remarks.append(text)

    def put_into_page(self) -> None:
        """Keep the sections and make the page of all that are kept."""
        RESULTS.mkdir(exist_ok=True)
        for section in self.sections:
            if section.rows:
                path = RESULTS / f"{section.key}.json"
                path.write_text(json.dumps(asdict(section), indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(page())
        print(f"\nWritten to {PAGE}")


def page() -> str:
    """The page of all results that are kept."""
    sections = sorted((_kept(path) for path in RESULTS.glob("*.json")), key=_order)
    aims = [aim for section in sections for aim in section.aims]
    lines = [f"| {aim.number} | {aim.text} | {aim.measured} | {verdict(aim)} |" for aim in aims]
    table = ["## Aims", "", "| # | aim | measured | |", "|---|---|---|---|", *lines, ""]
    return "\n".join([HEAD, *table, *(section.text() for section in sections), NOTES.read_text().rstrip(), ""])


def _kept(path: Path) -> Section:
    data: dict[str, Any] = json.loads(path.read_text())
    rows = [(what, figure, runs) for what, figure, runs in data["rows"]]
    return Section(
        data["key"], data["title"], rows, [Aim(**aim) for aim in data["aims"]], data["remarks"], data["made"]
    )


def _order(section: Section) -> tuple[int, str]:
    number = re.match(r"b(\d+)", section.key)
    return (int(number[1]) if number else 100, section.key)


def _made() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M}, commit {commit.strip()}, {platform.machine()}, {cores} cores "
        f"with a load of {load:.1f} at the start, Python {platform.python_version()}"
    )


@dataclass(frozen=True)
class Runs:
    """Repeated measurements of one thing."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return ", ".join(f"{value:.3g}" if value < 100 else f"{value:,.0f}" for value in self.values)


def repeated(measure: Callable[[], float], times: int = 3, within_s: float = 60) -> Runs:
    """Measure at least once, then as often as wanted while the time lasts for one more."""
    started, values = perf_counter(), [measure()]
    while len(values) < times and (perf_counter() - started) * (len(values) + 1) / len(values) < within_s:
        values.append(measure())
    return Runs(values)
