"""Figures as they are taken, and the page `docs/performance.md` that keeps them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
NOTES = Path(__file__).with_name("notes.md")


@dataclass
class Report:
    """Lines of the report, in order."""

    lines: list[str] = field(default_factory=list)

    def add(self, what: str, figure: str) -> None:
        """One figure."""
        print(f"{what:<64} {figure}", flush=True)
        self.lines.append(f"| {what} | {figure} |")

    def section(self, title: str) -> None:
        """Begin a table."""
        print(f"\n{title}", flush=True)
        self.lines += ["", f"## {title}", "", "| what | figure |", "|---|---|"]

    def put_into_page(self) -> None:
        """Replace the sections of the same titles in the page, or add them before the notes."""
        page = PAGE.read_text()
        for section in re.split(r"(?m)^(?=## )", "\n".join(self.lines) + "\n")[1:]:
            title = section.splitlines()[0]
            known = re.search(rf"(?ms)^{re.escape(title)}$.*?(?=^## |\Z)", page)
            at = known.span() if known else (page.index(NOTES.read_text().splitlines()[0]),) * 2
            page = page[: at[0]] + section.rstrip() + "\n\n" + page[at[1] :]
        PAGE.write_text(page.rstrip() + "\n")
        print(f"\nWritten to {PAGE}")
