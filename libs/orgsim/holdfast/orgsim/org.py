"""The org: schema, rows, users, clock, counters and ledger in one place. It knows no protocol."""

from __future__ import annotations

import copy
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.accounting import Accounting
from holdfast.orgsim.api.bulk1.model import Bulk1Jobs
from holdfast.orgsim.api.bulk2.jobs import BulkJobs
from holdfast.orgsim.api.rest.cursors import Cursors
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.apps import ConnectedApp
from holdfast.orgsim.auth.desk import SignInDesk
from holdfast.orgsim.auth.permissions import Grants
from holdfast.orgsim.auth.sessions import Sessions
from holdfast.orgsim.clock import OrgClock
from holdfast.orgsim.errors import unsupported_object
from holdfast.orgsim.ledger.book import Ledger
from holdfast.orgsim.saving.transaction import Transactions
from holdfast.orgsim.schedule import Schedule
from holdfast.orgsim.schema.document import Document
from holdfast.orgsim.schema.formulas import Formula
from holdfast.orgsim.schema.objects import Schema, SObject
from holdfast.orgsim.setup.permission_sets import PermissionSets
from holdfast.orgsim.setup.rows import SystemRows, define_system_objects
from holdfast.orgsim.setup.switches import apply_document
from holdfast.orgsim.setup.views import SHOWN, define_views
from holdfast.orgsim.store.blobs import Blobs
from holdfast.orgsim.store.table import Row, Table

if TYPE_CHECKING:
    from holdfast.orgsim.rules.batch import Batch
    from holdfast.orgsim.saving.recyclebin import BinEntry


IDS_PER_ORG = 62**7  # of each object
KINDS = {"production": "", "sandbox": ".sandbox", "developer": ".develop", "scratch": ".scratch"}


@dataclass
class OrgSettings:
    """What can be chosen when an org is made."""

    name: str = "Holdfast Test Org"
    organization_type: str = "Developer Edition"
    instance_name: str = "LOCAL1"
    namespace_prefix: str | None = None
    trial_expiration: str | None = None  # canonical datetime
    document: Document | None = None  # a schema file: objects, fields, switches
    my_domain: str = "holdfast"  # `acme`, or `acme--uat` of a sandbox
    kind: str = "production"  # of KINDS, which says what stands in the host name
    number: int = 1  # among the orgs of one process: keeps their ids apart
    api_limit: int = 100_000
    session_lifetime: timedelta = timedelta(hours=2)
    bulk_page_bytes: int = 200_000_000
    client_id: str = "3MVG9holdfast.orgsim.connected.app"
    client_secret: str = field(default_factory=lambda: secrets.token_hex(32).upper())
    username: str = "integration@holdfast.test"
    public_key_pem: str | None = None
    ledger_folder: Path | None = None
    compress: bool = True
    bulk_job_s: float = 0.0  # how long a Bulk job takes on the org's clock; 0: done at the first look
    bulk_batches: int = 15_000  # per 24 hours, Bulk 1.0 and Bulk 2.0 ingest together


class Org:
    """One org. All calls come from one thread."""

    def __init__(self, settings: OrgSettings | None = None) -> None:
        self.settings = settings or OrgSettings()
        self.id = ids.to18(f"00D{ids.POD}{ids.base62(self.settings.number, 10)}")
        self.clock = OrgClock()
        self.schema = Schema()
        self.tables: dict[str, Table] = {}
        self.ledger = Ledger(self.settings.ledger_folder)
        self.transactions = Transactions(self)
        self.accounting = Accounting(self.settings.api_limit, self.settings.bulk_batches)
        self.blobs = Blobs(self.settings.ledger_folder / "blobs" if self.settings.ledger_folder else None)
        self.unsaved_images: dict[str, tuple[str, str]] = {}  # type and content of images whose text is being saved
        self.sessions = Sessions(self.id[:15], self.settings.session_lifetime)
        self.cursors = Cursors()
        self.bulk_jobs = BulkJobs(lambda: timedelta(seconds=self.settings.bulk_job_s))
        self.bulk1_jobs = Bulk1Jobs()
        self.schedule = Schedule()
        self.row_troubles: list[Callable[[Batch], None]] = []  # what scripted faults do to rows that are saved
        self._describes: dict[str, tuple[str, datetime]] = {}
        self.users: dict[str, User] = {}
        self.instance_url = ""
        self.oldest_version = 31
        self._numbers: defaultdict[str, int] = defaultdict(lambda: (self.settings.number - 1) * IDS_PER_ORG)
        self.auto_numbers: dict[str, int] = {}
        self.recycle_bin: dict[str, BinEntry] = {}
        self.delete_log_from: dict[str, str] = {}  # by object: getDeleted knows nothing from before this stamp
        self.recent: dict[str, dict[str, str]] = {}  # by user: objects of recently used records, the newest last
        self.purged: dict[str, list[tuple[str, str]]] = {}  # (id, deletion stamp) of rows gone for good, by object
        self.permission_sets: PermissionSets = PermissionSets(self)
        self.corporate_currency: str | None = None  # of an org with several currencies
        self.person_record_type: str | None = None  # of an org with person accounts
        self.formula_day: date | None = None  # the day that formulas which ask for it were last worked out for
        self.compiled_formulas: dict[tuple[str, int, int], Sequence[Formula]] = {}
        self.shown: dict[str, int] = {}  # schema version that each view was last worked out for
        define_system_objects(self.schema)
        define_views(self.schema)
        self.system_rows = SystemRows(self)
        self.admin = self.system_rows.make()
        if self.settings.document is not None:
            apply_document(self, self.settings.document)
        app = ConnectedApp(
            self.settings.client_id,
            self.settings.client_secret,
            self.admin.username,
            self.settings.public_key_pem,
        )
        self.sign_in = SignInDesk(app, self.users)
        self.born_with = frozenset(self.tables)  # setup objects, which every org has rows of

    @property
    def app(self) -> ConnectedApp:
        """The default connected app."""
        return self.sign_in.apps.default

    def user_row(self, user: User) -> Row:
        """The user's record."""
        return self.table(self.schema.objects["User"]).get(user.id) or {}

    @property
    def profile_id(self) -> str:
        """The id of the administrator's profile."""
        return self.system_rows.administrator_profile

    @property
    def domain_host(self) -> str:
        """The host name of the org's My Domain."""
        return f"{self.settings.my_domain}{KINDS[self.settings.kind]}.my.salesforce.com"

    def table(self, obj: SObject) -> Table:
        """The rows of `obj`, with a column for each stored field."""
        if obj.name in SHOWN:
            SHOWN[obj.name](self)
        table = self.tables.get(obj.name)
        if table is None:
            table = self.tables[obj.name] = Table(obj.stored())
        elif len(table.columns) != len(obj.stored()):
            table.add_columns(obj.stored())
        return table

    def readable(self, name: str, user: User) -> SObject:
        """The object called `name`.

        Raises:
            ApiError: 400 INVALID_TYPE if it does not exist or `user` may not read it.
        """
        obj = self.schema.find(name)
        if obj is None or not user.reads(obj.name) or not obj.describe["queryable"]:
            raise unsupported_object(name)
        return obj

    def new_id(self, obj: SObject) -> str:
        """The next id of the object."""
        number = self._numbers[obj.name] + 1
        self._numbers[obj.name] = number
        return ids.make_id(obj.key_prefix or "000", number)

    def new_ids(self, obj: SObject, count: int) -> pl.Series:
        """The next `count` ids of the object, in order."""
        first = self.reserve_numbers(obj, count)
        return ids.id_column(obj.key_prefix or "000", pl.int_range(first, first + count, eager=True)).alias("Id")

    def reserve_numbers(self, obj: SObject, count: int) -> int:
        """Keep the next `count` numbers of the object for ids that the caller makes; the first of them."""
        first = self._numbers[obj.name] + 1
        self._numbers[obj.name] = first + count - 1
        return first

    def load(self, obj: SObject, rows: pl.DataFrame) -> None:
        """Take rows with their system fields as they are; the ledger keeps them as one entry."""
        table = self.table(obj)
        first = not len(table)
        table.load(rows)
        self.ledger.record_load(self.clock.now(), obj.name, table.frame() if first else table.fetch(rows["Id"].sort()))

    def find(self, record_id: str) -> tuple[SObject, Row] | None:
        """A record of any object by its 18-character id."""
        obj = self.schema.by_prefix(record_id[:3])
        if obj is None or obj.name not in self.tables:
            return None
        row = self.table(obj).get(record_id)
        return None if row is None else (obj, row)

    def describe_changed(self, key: str, etag: str) -> datetime:
        """When the describe answered under `key` last became what `etag` stands for; whole seconds."""
        known = self._describes.get(key)
        if known is None or known[0] != etag:
            known = self._describes[key] = (etag, self.clock.now().replace(microsecond=0))
        return known[1]

    def at_this_moment(self) -> Org:
        """The org with its rows as they are now, for a query in another thread. It cannot be saved to."""
        frozen = copy.copy(self)
        frozen.tables = {name: table.frozen() for name, table in self.tables.items()}
        return frozen

    def data_version(self) -> int:
        """Grows with every change of any row."""
        return sum(table.version for table in self.tables.values())

    def add_user(
        self,
        username: str,
        *,
        name: str = "Integration User",
        hidden_objects: Iterable[str] = (),
        hidden_fields: Iterable[tuple[str, str]] = (),
    ) -> User:
        """A new user, or new restrictions for one that exists."""
        user = self.users.get(username) or self.system_rows.add_user(username, name)
        user.hidden_objects = frozenset(hidden_objects)
        user.hidden_fields = frozenset(hidden_fields)
        return user

    def set_active(self, user: User, active: bool) -> None:
        """Switch a user on or off; the sessions of one that is off end at their next use."""
        user.active = active
        self.system_rows.change("User", user.id, {"IsActive": "true" if active else "false"})

    def follow_user(self, row: Row) -> None:
        """Let somebody whose User row was saved sign in, under the name it has now, or no longer."""
        user = next((u for u in self.users.values() if u.id == row["Id"]), None)
        if user is None:
            user = self.system_rows.admit(str(row["Id"]), str(row["Username"]))
        elif user.username != row["Username"]:
            del self.users[user.username]
            user.username = str(row["Username"])
        self.users[user.username] = user
        user.name, user.active = str(row["Name"]), row["IsActive"] == "true"

    def give_permissions(self, user: User, grants: Grants) -> None:
        """Give the user a profile of their own."""
        self.system_rows.give_profile(user, grants)
        self.permission_sets.profiles_version += 1

    def add_record_type(self, object_name: str, developer_name: str, record_type_id: str | None = None) -> str:
        """A record type of an object; its id."""
        return self.system_rows.add_record_type(object_name, developer_name, record_type_id)
