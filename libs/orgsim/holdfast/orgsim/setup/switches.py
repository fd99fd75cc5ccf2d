"""What a schema file brings into an org: its objects, record types and features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.orgsim.rules.settling import settle
from holdfast.orgsim.schema.building import build
from holdfast.orgsim.schema.document import Document
from holdfast.orgsim.setup.currencies import enable_currencies
from holdfast.orgsim.setup.person_accounts import enable_person_accounts

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org


def apply_document(org: Org, document: Document) -> None:
    """Define what the document names and switch on what it asks for.

    Raises:
        SchemaError: it names what does not exist, or contradicts what does.
    """
    if document.currencies and org.corporate_currency is None:
        enable_currencies(org, document.currencies)
    build(org.schema, document)
    for plan in document.objects:
        for kind in plan.record_types:
            org.system_rows.add_record_type(plan.name, kind.developer_name, kind.id, label=kind.name,
                                            active=kind.active, default=kind.default)  # fmt: skip
    if document.person_accounts and org.person_record_type is None:
        enable_person_accounts(org)
    settle(org)
