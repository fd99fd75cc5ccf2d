"""The images that rich texts show and Salesforce keeps, found by column.

A text names an image by `…/servlet/rtaImage?eid=<record>&amp;feoid=<field>&amp;refid=<reference>` ("sObject Rich Text
Image Get", REST API Developer Guide). Whatever attribute holds such an address counts: asking for an image too many
costs a call, overlooking one costs the image.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

_ADDRESS = r"""=\s*(?:"[^"]*/servlet/rtaImage\?[^"]*"|'[^']*/servlet/rtaImage\?[^']*')"""
# Parameters follow `?`, `&` or the semicolon of an `&amp;`. The first 15 characters of an id are the id.
_REFERENCE = r"[?&;]refid=(0EM[0-9A-Za-z]{12})(?:[0-9A-Za-z]{3})?(?:[^0-9A-Za-z]|$)"
_KEPT_WITH = r"[?&;]eid=([0-9A-Za-z]{15})(?:[0-9A-Za-z]{3})?(?:[^0-9A-Za-z]|$)"


def images_of(table: pa.Table, field: str) -> pl.DataFrame:
    """Each image of each text once, with `record_id`, `stamp`, `part` and `kept_with`, ordered by these.

    Args:
        table: `_record_id`, `_modified_at` and the field, a row per record.
        field: A rich text.

    Returns:
        `part` is the image's reference in 15 characters. `kept_with` is the record of the same object that the address
        names if it is another one (a cloned record shows the images of its original); else null.
    """
    texts = pl.DataFrame(pl.from_arrow(table.select(["_record_id", "_modified_at", field])))
    record, address = pl.col("record_id"), pl.col("address")
    kept_with = address.str.extract(_KEPT_WITH)
    elsewhere = (kept_with != record.str.slice(0, 15)) & (kept_with.str.slice(0, 3) == record.str.slice(0, 3))
    return (
        texts.lazy()
        .select(
            pl.col("_record_id").alias("record_id"),
            pl.col("_modified_at").alias("stamp"),
            pl.col(field).str.extract_all(_ADDRESS).alias("address"),
        )
        .explode("address")
        .select(
            record,
            pl.col("stamp"),
            address.str.extract(_REFERENCE).alias("part"),
            pl.when(elsewhere).then(kept_with).alias("kept_with"),
        )
        .drop_nulls("part")
        .unique(["record_id", "stamp", "part"], keep="first", maintain_order=True)
        .sort("record_id", "stamp", "part")
        .collect()
    )
