"""The feature Multiple Currencies: a currency for every record, and the currencies as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.orgsim.schema.document import Currency
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.kinds import kind_of
from holdfast.orgsim.schema.objects import SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

WITHOUT = frozenset({"CurrencyType", "RecordType", "Profile", "UserRole", "Group", "GroupMember", "PermissionSet",
                     "PermissionSetAssignment", "ObjectPermissions", "FieldPermissions", "EntityDefinition",
                     "FieldDefinition", "EntityParticle", "ApexClass", "ApexTrigger"})  # fmt: skip


def enable_currencies(org: Org, currencies: Sequence[Currency]) -> None:
    """Define the currencies, and CurrencyIsoCode on every object that is there and that comes."""
    obj = org.schema.define("CurrencyType", name_kind="none", owner=False)
    obj.describe.update(deletable=False, undeletable=False, layoutable=False)
    obj.add(make_field("IsoCode", "picklist", nillable=False, updateable=False))
    obj.add(make_field("ConversionRate", "double", precision=18, scale=6, nillable=False))
    obj.add(make_field("DecimalPlaces", "int", digits=1, nillable=False))
    obj.add(make_field("IsActive", "boolean"))
    obj.add(make_field("IsCorporate", "boolean"))
    for currency in currencies:
        values = {"IsoCode": currency.iso_code, "ConversionRate": str(float(currency.conversion_rate)),
                  "DecimalPlaces": str(currency.decimal_places), "IsActive": _flag(currency.active),
                  "IsCorporate": _flag(currency.corporate)}  # fmt: skip
        org.system_rows.put("CurrencyType", values)
    org.corporate_currency = next(c.iso_code for c in currencies if c.corporate)
    codes = [currency.iso_code for currency in currencies if currency.active]

    def prepare(made: SObject) -> None:
        if (
            made.name not in WITHOUT
            and kind_of(made.name) == "plain"
            and made.describe.get("associateEntityType") is None
        ):
            made.add(_iso_code(codes))

    for known in org.schema.objects.values():
        prepare(known)
    org.schema.prepare.append(prepare)


def _iso_code(codes: Sequence[str]) -> dict[str, Any]:
    values: list[Mapping[str, Any]] = [
        {"active": True, "defaultValue": False, "label": code, "validFor": None, "value": code} for code in codes
    ]
    return make_field("CurrencyIsoCode", "picklist", length=3, label="Currency ISO Code", permissionable=False,
                      defaultedOnCreate=True, restrictedPicklist=True, picklistValues=values)  # fmt: skip


def _flag(value: bool) -> str:
    return "true" if value else "false"
