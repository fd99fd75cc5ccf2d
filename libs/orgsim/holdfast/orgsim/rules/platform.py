"""Which rules there are, in the order in which they look at a batch. More rules are more entries.

`BEFORE_SAVE` looks at inserts and updates before they are saved. `BEFORE_DELETE` looks at what a delete would take to
the recycle bin, cascades included: a row that it refuses keeps its whole family. `AFTER_SAVE` follows, in the same
transaction, everything that was saved, deletes, undeletes and merges included; `Batch.operation` tells them apart.
"""

from __future__ import annotations

from holdfast.orgsim.rules.content_links import follow_document, follow_note_version, share
from holdfast.orgsim.rules.contents import keep_contents, name_document
from holdfast.orgsim.rules.derived import derive, derived_columns
from holdfast.orgsim.rules.fields import email, length, number_range, picklist, required, writeable
from holdfast.orgsim.rules.formulas import formulas_again, formulas_below, own_formulas
from holdfast.orgsim.rules.images import follow_images, keep_images
from holdfast.orgsim.rules.links import references, unique
from holdfast.orgsim.rules.numbering import auto_numbers, currency, defaults
from holdfast.orgsim.rules.persons import mirror_persons, person_accounts, person_contacts
from holdfast.orgsim.rules.registry import AFTER_SAVE, BEFORE_DELETE, BEFORE_SAVE
from holdfast.orgsim.rules.restricting import restricted_delete
from holdfast.orgsim.rules.rights import active_owner, may_delete, may_save, record_types, users_follow_rows
from holdfast.orgsim.rules.rollups import empty_roll_ups, roll_up_parents
from holdfast.orgsim.rules.trails import feed_items, field_history, owner_shares
from holdfast.orgsim.rules.trouble import trouble, unsaid_trouble
from holdfast.orgsim.rules.versions import follow_version, number_versions, version_of_document

BEFORE_SAVE += [
    trouble,
    may_save,
    writeable,
    defaults,
    currency,
    person_accounts,
    person_contacts,
    keep_contents,
    keep_images,
    name_document,
    version_of_document,
    share,
    derive,
    auto_numbers,
    empty_roll_ups,
    required,
    length,
    picklist,
    number_range,
    email,
    record_types,
    active_owner,
    references,
    unique,
    number_versions,
    own_formulas,
]
BEFORE_DELETE += [trouble, may_delete, restricted_delete]
AFTER_SAVE += [
    unsaid_trouble,
    follow_version,
    follow_note_version,
    follow_document,
    follow_images,
    field_history,
    owner_shares,
    feed_items,
    users_follow_rows,
    mirror_persons,
    formulas_again,
    formulas_below,
    roll_up_parents,
]

__all__ = ["AFTER_SAVE", "BEFORE_DELETE", "BEFORE_SAVE", "derived_columns"]
