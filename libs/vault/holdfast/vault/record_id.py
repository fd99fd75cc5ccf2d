"""Record ids: the 18-character form, and 64-bit keys without loss. Records without an id get one of their key fields.

An id is 15 characters of base 62 (`0-9A-Za-z`), case-sensitive; three check characters, each five bits that
say which characters of a group are upper case, make it unique without regard to case.
Source: Salesforce, "What are the differences between 15- and 18-character record IDs" (help article).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl
import polars_hash as plh

from holdfast.common.errors import HoldfastError, Kind

_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX_CHARS, _TAIL_CHARS, _ID_CHARS = 7, 8, 18
_MAX_PREFIXES = 1 << 16
# Of a record that Salesforce gives no id: 64 bits of a hash of its key. No Salesforce id has a hyphen.
KEYED = "key-"
_KEYED_FORM = r"^key-[0-9a-f]{16}$"
# In place of prefixes where keys are those 64 bits; more than seven characters of six bits can make.
_OF_KEYED = 1 << 48


def keyed_ids(values: pl.DataFrame) -> pl.Series:
    """Ids of records that have none, from the canonical texts of their key fields, in the order of the key.

    `key-` and the first 16 hex digits of the SHA-256 of `<bytes>:<text>` of each field, one after the other, `-` for
    null: no two keys have the same text before it is hashed.
    """
    parts = [_with_length(pl.col(name)) for name in values.columns]
    texts = values.select(pl.concat_str(parts).alias("text"))
    hashed = texts.select(plh.col("text").chash.sha2_256().alias("hash"))["hash"]
    return (KEYED + hashed.str.slice(0, 16)).alias("Id")


def _with_length(value: pl.Expr) -> pl.Expr:
    return (value.str.len_bytes().cast(pl.String) + ":" + value).fill_null("-")


def long_ids(value: pl.Expr) -> pl.Expr:
    """15-character ids with their check characters; every other text as it is."""
    checks = [_check_character(value, group) for group in range(3)]
    short = value.str.contains(r"^[0-9A-Za-z]{15}$")
    return pl.when(short).then(pl.concat_str(value, *checks)).otherwise(value)


def _check_character(value: pl.Expr, group: int) -> pl.Expr:
    bits = [
        value.str.slice(group * 5 + place, 1).str.contains(r"^[A-Z]$").cast(pl.UInt32) * (1 << place)
        for place in range(5)
    ]
    return pl.lit(_CHECK).str.slice(pl.sum_horizontal(bits), 1)


def long_id(record_id: str) -> str:
    """The 18-character form of an id in either form; the id of a record that is known by its key as it is.

    Raises:
        HoldfastError: INVALID if the text is no record id.
    """
    if re.fullmatch(_KEYED_FORM, record_id):
        return record_id
    if len(record_id) not in (15, _ID_CHARS) or not record_id.isalnum() or not record_id.isascii():
        raise HoldfastError(Kind.INVALID, f"{record_id!r} is not a record id.", field="record_id")
    short = record_id[:15]
    groups = (short[start : start + 5] for start in (0, 5, 10))
    return short + "".join(_CHECK[sum(1 << i for i, c in enumerate(group) if c.isupper())] for group in groups)


def pack(ids: pl.Series, prefixes: list[int]) -> pl.Series:
    """64-bit keys of ids, without loss: the number of the prefix, then eight characters of six bits.

    Args:
        ids: 18-character ids, or ids of `keyed_ids`; those of one object are all alike.
        prefixes: Known prefixes as numbers; new ones are appended.

    Raises:
        HoldfastError: INVALID for a text that is no id, or for more prefixes than any org has.
    """
    if holds_keyed(prefixes) or (not prefixes and len(ids) and (ids[0] or "").startswith(KEYED)):
        return _packed_keyed(ids, prefixes)
    text = pl.col("id")
    # One search through all ids put together is four times as fast as one search in each; nearly always all ids of a
    # page begin alike.
    said = ids.to_frame("id").select(
        right=(text.str.len_bytes() == _ID_CHARS).fill_null(False).all(),
        odd=text.str.join("").str.contains(r"[^0-9A-Za-z]").any(),
        alike=text.str.starts_with(text.first().str.head(_PREFIX_CHARS)).all(),
    )
    right, odd, alike = said.row(0)
    if not right or odd:
        raise HoldfastError(Kind.INVALID, "A record id has not 18 letters and digits.", code="bad-record-id")
    if not len(ids):
        return pl.Series("key", [], dtype=pl.UInt64)
    heads = _six_bits(ids.head(1) if alike else ids, 0) // 64
    codes = _prefix_codes(heads, prefixes)
    tails = _six_bits(ids, _PREFIX_CHARS)
    return (pl.Series("key", [codes[0]], dtype=pl.UInt64) if alike else codes).alias("key") * (1 << 48) + tails


def holds_keyed(prefixes: Sequence[int]) -> bool:
    """Whether keys that were packed with these prefixes are those of `keyed_ids`."""
    return list(prefixes) == [_OF_KEYED]


def _packed_keyed(ids: pl.Series, prefixes: list[int]) -> pl.Series:
    if not ids.str.contains(_KEYED_FORM).fill_null(False).all():
        raise HoldfastError(Kind.INVALID, "A record is not known by its key as others are.", code="bad-record-id")
    prefixes[:] = [_OF_KEYED]
    digits = ids.str.slice(len(KEYED)).str.decode("hex")
    return digits.bin.reinterpret(dtype=pl.UInt64, endianness="big").alias("key")


def _keyed_texts(keys: pl.Series) -> pl.Series:
    """The ids of `keyed_ids` again, by column."""
    nibbles = [(keys // (1 << 4 * place)) & 15 for place in reversed(range(16))]
    digits = pl.Series(list("0123456789abcdef"))
    texts = [digits.gather(nibble).alias(str(number)) for number, nibble in enumerate(nibbles)]
    return pl.DataFrame(texts).select(pl.concat_str(pl.lit(KEYED), pl.all()).alias("id")).to_series()


def _six_bits(ids: pl.Series, start: int) -> pl.Series:
    """Eight base-62 characters as 48 bits, by arithmetic on all eight bytes of a word at once."""
    ones = 0x0101010101010101
    word, letters, digits = pl.col("word"), pl.col("letters"), pl.col("digits")
    # Step by step, not in one expression, in which each use of a step would make it once more.
    eight = pl.col("word").cast(pl.Binary).bin.slice(start, 8).bin.reinterpret(dtype=pl.UInt64, endianness="big")
    steps = ids.to_frame("word").lazy().select(eight).with_columns(((word // 64) & ones).alias("letters"))
    lower = (word // 32) & letters
    steps = steps.select((word - 0x30 * ones - letters * 7 - lower * 6).alias("digits"))
    for lane, width, low in ((8, 6, 0x00FF00FF00FF00FF), (16, 12, 0x0000FFFF0000FFFF), (32, 24, 0x00000000FFFFFFFF)):
        steps = steps.select(((digits // (1 << lane)) & low) * (1 << width) + (digits & low))
    return steps.collect().to_series()


def _prefix_codes(heads: pl.Series, prefixes: list[int]) -> pl.Series:
    found = heads.unique().sort().to_list()
    prefixes.extend(sorted(set(found) - set(prefixes)))
    if len(prefixes) > _MAX_PREFIXES:
        raise HoldfastError(Kind.INVALID, "The object's record ids have more prefixes than any org has.")
    numbers = {prefix: number for number, prefix in enumerate(prefixes)}
    codes = [numbers[prefix] for prefix in found]
    if len(found) == 1:
        return pl.repeat(codes[0], len(heads), dtype=pl.UInt64, eager=True)
    return heads.replace_strict(found, codes, return_dtype=pl.UInt64)


def unpack(keys: pl.Series, prefixes: Sequence[int]) -> list[str]:
    """The ids of keys; for reports, one Python object per id."""
    if holds_keyed(prefixes):
        return [f"{KEYED}{key:016x}" for key in keys.to_list()]
    mask = (1 << 48) - 1
    return [
        long_id(_text(prefixes[key >> 48], _PREFIX_CHARS) + _text(key & mask, _TAIL_CHARS)) for key in keys.to_list()
    ]


def unpack_all(keys: pl.Series, prefixes: Sequence[int]) -> pl.Series:
    """The ids of any number of keys, by column."""
    if holds_keyed(prefixes):
        return _keyed_texts(keys)
    names = pl.Series([_text(prefix, _PREFIX_CHARS) for prefix in prefixes], dtype=pl.String)
    digits = pl.Series(list(_DIGITS))
    parts = [names.gather(keys // (1 << 48)).alias("prefix")]
    for place in reversed(range(_TAIL_CHARS)):
        parts.append(digits.gather((keys // (1 << 6 * place)) & 63).alias(str(place)))
    return pl.DataFrame(parts).select(pl.concat_str(pl.all()).alias("id")).select(long_ids(pl.col("id")))["id"]


def _text(number: int, width: int) -> str:
    return "".join(_DIGITS[number >> 6 * place & 63] for place in reversed(range(width)))
