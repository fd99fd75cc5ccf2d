"""The feature Person Accounts: an account that is a person, with a contact of its own behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from holdfast.orgsim.schema.fields import make_field

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

RECORD_TYPE = "PersonAccount"
NAME_PARTS = ("Salutation", "FirstName", "LastName")
MIRRORED = ("Email", "MobilePhone", "HomePhone", "OtherPhone", "AssistantPhone", "AssistantName", "Title",
            "Department", "Birthdate", "LeadSource")  # fmt: skip
ADDRESSES = ("Mailing", "Other")
ADDRESS_PARTS = ("Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude", "GeocodeAccuracy")


def enable_person_accounts(org: Org) -> None:
    """Give accounts the fields of persons, and a record type that makes an account one."""
    account, contact = org.schema.objects["Account"], org.schema.objects["Contact"]
    fixed = {"createable": False, "updateable": False, "permissionable": False}
    account.add({**account.fields["Name"], "nillable": True, "compoundFieldName": "Name",
                 "extraTypeInfo": "switchablepersonname"})  # fmt: skip
    for name in NAME_PARTS:
        account.add({**contact.fields[name], "nillable": True, "compoundFieldName": "Name"})
    for own, theirs in mirrored_fields(org):
        compound = theirs["compoundFieldName"]
        changes = {"name": own, "label": own, "compoundFieldName": f"Person{compound}" if compound else None}
        account.add({**theirs, **changes, "nillable": True})
    for name in ADDRESSES:
        label = f"Person{name}Address"
        account.add({**contact.fields[f"{name}Address"], "name": label, "label": label})
    account.add(make_field("IsPersonAccount", "boolean", **fixed))
    contact.add(make_field("IsPersonAccount", "boolean", **fixed))
    org.schema.add_field(account, make_field("PersonContactId", "reference", **fixed, referenceTo=["Contact"],
                                             relationshipName="PersonContact"))  # fmt: skip
    org.person_record_type = org.system_rows.add_record_type(
        "Account", RECORD_TYPE, label="Person Account", person=True
    )


def mirrored_fields(org: Org) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name on Account, field of Contact) of what both sides hold: `PersonEmail` and `Score__pc` among them."""
    contact = org.schema.objects["Contact"]
    parts = [f"{name}{part}" for name in ADDRESSES for part in ADDRESS_PARTS]
    for name in (*MIRRORED, *parts):
        yield f"Person{name}", contact.fields[name]
    for name, field in contact.fields.items():
        if name.endswith("__c") and not field["calculated"]:
            yield f"{name[:-3]}__pc", field
