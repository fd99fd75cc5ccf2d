"""The events of a table as a DuckDB relation: how the past is read, and by nothing else.

Which files belong to the table says Delta's log; a file's folder is the first run that it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.columns import table_schema
from holdfast.vault.commit import open_delta
from holdfast.vault.location import VaultRoot, bucket_of, table_key
from holdfast.vault.schema import RecordSchema, schema_key

# Newest first; a null stamp is the oldest of all.
NEWEST = "_modified_at DESC NULLS LAST, _run DESC, _seq DESC"
OLDEST = "_modified_at ASC NULLS FIRST, _run ASC, _seq ASC"

_UNREADABLE = (duckdb.IOException, duckdb.InvalidInputException, pa.ArrowException, OSError)


@dataclass
class Events:
    """The events of one object up to a run. A context manager: it holds a DuckDB connection.

    Attributes:
        run: The last run that is seen; None for all.
    """

    root: VaultRoot
    job_id: str
    object: str
    run: int | None = None

    def __enter__(self) -> Events:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        try:
            # A file that others were merged into holds later runs as well.
            until = "" if self.run is None else f" WHERE _run <= {self.run:d}"
            self._connection.execute(f"CREATE VIEW events AS SELECT * FROM {self._source()}{until}")  # noqa: S608
        except _UNREADABLE as error:
            self._connection.close()
            raise self._damaged(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @cached_property
    def paths(self) -> list[str]:
        """The files, relative to the table's folder.

        Raises:
            HoldfastError: NOT_FOUND if the object has no table.
        """
        delta = open_delta(self.root, self.job_id, self.object)
        if delta is None:
            message = f"Nothing of {self.object} is in the vault."
            raise HoldfastError(Kind.NOT_FOUND, message, code="object-not-backed-up")
        marker = f"/{table_key(self.job_id, self.object)}/"
        paths = (uri.rpartition(marker)[2] for uri in delta.file_uris())
        return sorted(path for path in paths if self.run is None or int(path.split("/")[0]) <= self.run)

    def _source(self) -> str:
        if not self.paths:
            self._connection.register("nothing", table_schema(()).empty_table())
            return "nothing"
        table = table_key(self.job_id, self.object)
        if self.root.folder is not None:
            files = ", ".join(quoted(str(self.root.folder / table / path)) for path in self.paths)
            return f"read_parquet([{files}], union_by_name=true, hive_partitioning=false)"
        self._connection.register("bucket", self._dataset(table))
        return "bucket"

    def _dataset(self, table: str) -> pyarrow.dataset.Dataset:
        """The files in S3; DuckDB's own S3 reader is an extension that has to be downloaded."""
        bucket, prefix = bucket_of(self.root.uri)
        folder = "/".join(part for part in (bucket, prefix, table) if part)
        files = [f"{folder}/{path}" for path in self.paths]
        system = _s3_filesystem(self.root.options)
        schemas = [pyarrow.dataset.dataset(file, filesystem=system).schema for file in files]
        return pyarrow.dataset.dataset(files, filesystem=system, schema=pa.unify_schemas(schemas))

    def table(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """The result of a query over the view `events`.

        Raises:
            HoldfastError: DAMAGED if a file is missing or cannot be read.
        """
        try:
            return self._connection.sql(query, params=dict(parameters or {})).to_arrow_table()
        except _UNREADABLE as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> HoldfastError:
        message = f"A file of {self.object} in the vault is missing or damaged."
        return HoldfastError(Kind.DAMAGED, message, detail=str(error))

    @cached_property
    def schemas(self) -> dict[str, RecordSchema]:
        """Schemas that the events name."""
        ids = self.table("SELECT DISTINCT _schema FROM events").column("_schema").to_pylist()
        return {i: RecordSchema.from_json(self.root.read(schema_key(self.job_id, i))) for i in sorted(ids)}

    @cached_property
    def observers(self) -> dict[str, frozenset[str]]:
        """For each field, by name, the schemas that observe it."""
        found: dict[str, set[str]] = {}
        for schema_id, schema in self.schemas.items():
            for field in schema.stored:
                found.setdefault(field.name, set()).add(schema_id)
        return {name: frozenset(found[name]) for name in sorted(found)}


def quoted(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"


def name_of(column: str) -> str:
    """A SQL identifier."""
    return '"' + column.replace('"', '""') + '"'


def names_of(columns: Iterable[str], prefix: str = "") -> str:
    """A list of SQL identifiers."""
    return ", ".join(prefix + name_of(column) for column in columns)


def _s3_filesystem(options: Mapping[str, str]) -> pyarrow.fs.S3FileSystem:
    endpoint = options.get("aws_endpoint")
    scheme, _, address = endpoint.partition("://") if endpoint else ("https", "", None)
    return pyarrow.fs.S3FileSystem(
        access_key=options.get("aws_access_key_id"),
        secret_key=options.get("aws_secret_access_key"),
        session_token=options.get("aws_session_token"),
        region=options.get("aws_region"),
        scheme=scheme,
        endpoint_override=address,
    )
