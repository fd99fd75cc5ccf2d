"""Named statements kept in `.sql` files."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


class Queries:
    """One attribute per `-- name: x` statement of a file; a wrong name fails at its first use."""

    def __init__(self, statements: dict[str, str], source: str) -> None:
        self._statements = statements
        self._source = source

    @classmethod
    def load(cls, package: str, file: str = "queries.sql") -> Queries:
        """Read the statements of `<package>/<file>`.

        Raises:
            ValueError: Two statements share a name.
        """
        text = files(package).joinpath(file).read_text(encoding="utf-8")
        parts = _NAME.split(text)[1:]
        statements: dict[str, str] = {}
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"{package}/{file} names {name!r} twice")
            statements[name] = body.strip().rstrip(";")
        return cls(statements, f"{package}/{file}")

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"{self._source} has no statement named {name!r}") from None

    def names(self) -> list[str]:
        """Names of all statements, in the order of the file."""
        return list(self._statements)
