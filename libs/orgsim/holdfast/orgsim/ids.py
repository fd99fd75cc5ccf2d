"""Record ids: 15 base-62 characters, three checksum characters, one sequence per key prefix."""

from __future__ import annotations

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
    "CampaignMemberStatus": "01Y", "Contract": "800", "Order": "801", "OrderItem": "802",
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


def custom_prefix(ordinal: int) -> str:
    """The key prefix of the n-th custom object: a00, a01, … aZZ."""
    return "a" + base62(ordinal, 2)


def normalised(texts: pl.Series) -> pl.Series:
    """The 18-character form of each id; null for what is not one."""
    table = {text: normalise(text) for text in texts.drop_nulls().unique().to_list()}
    return texts.replace_strict(table, default=None, return_dtype=pl.String) if table else texts.cast(pl.String)
