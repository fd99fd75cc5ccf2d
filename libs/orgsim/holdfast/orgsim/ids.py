"""Record ids: 15 base-62 characters, three checksum characters, one sequence per key prefix."""

from __future__ import annotations

import hashlib
from functools import cache

import polars as pl

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
POD = "Hs"  # the instance characters of every id of this org

STANDARD_PREFIXES = {
    "Account": "001", "Note": "002", "Contact": "003", "User": "005", "Opportunity": "006",
    "OpportunityHistory": "008", "Organization": "00D", "Profile": "00e", "UserRole": "00E", "Group": "00G",
    "OpportunityContactRole": "00K", "OpportunityLineItem": "00k", "Lead": "00Q", "Task": "00T", "Event": "00U",
    "Attachment": "00P", "CampaignMember": "00v", "CaseComment": "00a", "RecordType": "012", "Document": "015",
    "Pricebook2": "01s", "Product2": "01t", "PricebookEntry": "01u", "Asset": "02i", "ContentVersion": "068",
    "ContentDocument": "069", "ContentDocumentLink": "06A", "FeedItem": "0D5", "Case": "500", "Campaign": "701",
    "CampaignMemberStatus": "01Y", "Contract": "800", "Order": "801", "OrderItem": "802", "PermissionSet": "0PS",
    "PermissionSetAssignment": "0Pa", "ObjectPermissions": "110", "FieldPermissions": "01k", "GroupMember": "011",
    "AccountShare": "00r", "OpportunityShare": "00t", "CaseShare": "01n", "LeadShare": "01o", "ContactShare": "03s",
    "CampaignShare": "08s", "CurrencyType": "01L", "ApexClass": "01p", "ApexTrigger": "01q", "UserLicense": "100",
    "PermissionSetLicense": "0PL", "InstalledSubscriberPackage": "0A3", "SubscriberPackage": "033",
    "EntityDefinition": "4ie", "FieldDefinition": "4fd", "EntityParticle": "4ep",
}  # fmt: skip


def to18(id15: str) -> str:
    """The 18-character form of a 15-character id: three groups of five, upper case as bits, low bit first."""
    groups = (id15[start : start + 5] for start in (0, 5, 10))
    return id15 + "".join(CHECKSUM[sum(1 << bit for bit, char in enumerate(g) if "A" <= char <= "Z")] for g in groups)


def normalise(text: str) -> str | None:
    """The 18-character form of an id given with 15 or 18 characters; None if it is not an id."""
    if len(text) not in (15, 18) or not text.isascii() or not text.isalnum():
        return None
    return to18(text[:15])


def base62(number: int, width: int) -> str:
    """`number` in base 62, padded to `width`."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = ALPHABET[rest] + digits
    return digits.rjust(width, "0")


def make_id(prefix: str, number: int) -> str:
    """The 18-character id number `number` of the object with `prefix`."""
    return to18(f"{prefix}{POD}0{base62(number, 9)}")


def field_id(object_name: str, field_name: str) -> str:
    """The 15-character id of a custom field that was made under this name."""
    digest = hashlib.sha256(f"{object_name}.{field_name}".encode()).digest()
    return make_id("00N", int.from_bytes(digest[:8]) % 62**9)[:15]


def custom_prefix(ordinal: int, letter: str = "a") -> str:
    """The key prefix of the n-th custom object: a00, a01, … azz."""
    return letter + base62(ordinal, 2)


def normalised(texts: pl.Series) -> pl.Series:
    """The 18-character form of each id; null for what is not one."""
    if len(texts) < FEW:
        return pl.Series(texts.name, [t and normalise(t) for t in texts.to_list()], dtype=pl.String)
    text = pl.col("text")
    valid = text.str.len_bytes().is_in([15, 18]) & text.str.contains("^[0-9A-Za-z]+$")
    checks = pl.lit(pl.Series(list(CHECKSUM)))
    marks = [checks.gather(_upper_bits(text, start)) for start in (0, 5, 10)]
    whole = pl.concat_str(text.str.slice(0, 15), *marks)
    return texts.alias("text").to_frame().select(pl.when(valid).then(whole)).to_series().alias(texts.name)


FEW = 32  # so many are quicker one by one


def _upper_bits(text: pl.Expr, start: int) -> pl.Expr:
    """Which of the five characters from `start` are upper case, as bits, low bit first."""
    bits = [text.str.slice(start + n, 1).is_between(pl.lit("A"), pl.lit("Z")).cast(pl.UInt32) * 2**n for n in range(5)]
    return pl.sum_horizontal(bits)


def id_column(prefix: str, numbers: pl.Series) -> pl.Series:
    """`make_id` for a column of numbers; null stays null."""
    if numbers.null_count() == len(numbers):
        return pl.Series(numbers.name, [None] * len(numbers), dtype=pl.String)
    high, low = numbers.cast(pl.UInt64) // 62**5, numbers.cast(pl.UInt64) % 62**5
    if high.min() == high.max():  # almost always: the text of one number is enough
        high = high.drop_nulls().head(1)
    upper, lower = _five_digits(high), _five_digits(low)
    parts = [pl.lit(prefix + POD), *map(_expression, upper[:3]), *map(_expression, lower[:3]),
             pl.lit(to18(f"{prefix}{POD}{'0' * 10}")[15]), _expression(upper[3]), _expression(lower[3])]  # fmt: skip
    return pl.select(pl.concat_str(parts)).to_series()


def _five_digits(numbers: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series, pl.Series]:
    """Numbers below 62⁵ as a digit, two digits, two digits and their checksum character."""
    table = _digit_tables()
    first, middle, last = numbers // 62**4, numbers // 62**2 % 62**2, numbers % 62**2
    bits = table.upper.gather(first) + 2 * table.pair_upper.gather(middle) + 8 * table.pair_upper.gather(last)
    return table.digits.gather(first), table.pairs.gather(middle), table.pairs.gather(last), table.checks.gather(bits)


def _expression(values: pl.Series) -> pl.Expr:
    return pl.lit(values[0] if len(values) == 1 else values)


class _DigitTables:
    """What the digits look like and which of them are upper case, for single digits and for pairs."""

    def __init__(self) -> None:
        upper = ["A" <= char <= "Z" for char in ALPHABET]
        self.digits = pl.Series(list(ALPHABET))
        self.upper = pl.Series(upper, dtype=pl.UInt8)
        self.pairs = pl.Series([a + b for a in ALPHABET for b in ALPHABET])
        self.pair_upper = pl.Series([a + 2 * b for a in upper for b in upper], dtype=pl.UInt8)
        self.checks = pl.Series(list(CHECKSUM))


_digit_tables = cache(_DigitTables)
