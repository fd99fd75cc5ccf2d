"""Opens a generated data set (`store.generate`): its files become the rows of a pristine org, without being read."""

from __future__ import annotations

from pathlib import Path

import orjson

from holdfast.orgsim.org import Org
from holdfast.orgsim.store import loading
from holdfast.orgsim.store.disk import mapped_chunks
from holdfast.orgsim.store.generate import FORMAT


def open_dataset(org: Org, folder: Path) -> int:
    """Serve the data set's rows from its files. Rows there are.

    Raises:
        ValueError: another format, or an org that has rows or objects of its own.
    """
    manifest = orjson.loads((folder / loading.MANIFEST).read_bytes())
    if manifest["format"] != FORMAT:
        raise ValueError(f"{folder} has format {manifest['format']}, not {FORMAT}: generate it again")
    for source in manifest["sources"]:
        loading.define_path(org, folder / source)
    for name, about in manifest["objects"].items():
        obj = org.schema.objects[name]
        table = org.table(obj)
        if obj.key_prefix != about["prefix"] or len(table):
            raise ValueError(f"{folder} has to be loaded before anything else: {name} is there already")
        users = {manifest["user"]: org.admin.id}
        constants = {column: users.get(value, value) for column, value in about["constants"].items()}
        file = folder / f"{name}.arrow"
        chunks = list(mapped_chunks(file, constants)) if about["rows"] else []
        table.attach(chunks)
        org.reserve_numbers(obj, about["rows"])
        org.auto_numbers[name] = about["auto_number"]
        if chunks:
            empty = dict.fromkeys(column for column in table.columns if column not in chunks[0].columns)
            org.ledger.record_load(org.clock.now(), name, table.frame(), [file], {**empty, **constants})
    return sum(int(about["rows"]) for about in manifest["objects"].values())
