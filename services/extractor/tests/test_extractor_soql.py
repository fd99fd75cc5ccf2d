"""The queries, and the patience with what fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.literals import moment_literal as literal
from holdfast.extractor.patience import Failures, Patience
from holdfast.extractor.soql import ObjectQuery, Position, url_length

AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
STAMPED = ("Id", "Name", "SystemModstamp")
PATIENCE = Patience(timedelta(seconds=1), timedelta(minutes=10))


def test_a_whole_object_is_read_in_order() -> None:
    soql = ObjectQuery("Account", STAMPED).ordered()
    assert soql == "SELECT Id,Name,SystemModstamp FROM Account ORDER BY SystemModstamp, Id"


def test_bulk_gets_no_order() -> None:
    assert ObjectQuery("Account", STAMPED).unordered() == "SELECT Id,Name,SystemModstamp FROM Account"


def test_an_incremental_query_includes_its_bound() -> None:
    query = ObjectQuery("Account", STAMPED, AT)
    where = "WHERE SystemModstamp >= 2026-03-01T12:00:00.250Z"
    assert query.unordered() == f"SELECT Id,Name,SystemModstamp FROM Account {where}"
    assert query.ordered() == f"SELECT Id,Name,SystemModstamp FROM Account {where} ORDER BY SystemModstamp, Id"


def test_a_query_goes_on_after_the_last_durable_record() -> None:
    soql = ObjectQuery("Account", STAMPED, AT).ordered(Position("001000000000001AAA", AT))
    stamp = "2026-03-01T12:00:00.250Z"
    assert (
        f" WHERE SystemModstamp >= {stamp} AND (SystemModstamp > {stamp} "
        f"OR (SystemModstamp = {stamp} AND Id > '001000000000001AAA')) ORDER BY" in soql
    )


def test_after_a_record_without_a_stamp_all_that_have_one_are_still_to_come() -> None:
    soql = ObjectQuery("Account", STAMPED).ordered(Position("001000000000001AAA", None))
    assert " WHERE (SystemModstamp != null OR Id > '001000000000001AAA') ORDER BY SystemModstamp, Id" in soql


def test_an_unstamped_object_goes_on_by_id() -> None:
    soql = ObjectQuery("Note", ("Id", "Title")).ordered(Position("002000000000001AAA", None))
    assert soql == "SELECT Id,Title FROM Note WHERE Id > '002000000000001AAA' ORDER BY Id"


def test_the_stamp_is_the_best_that_the_object_has() -> None:
    assert ObjectQuery("Account", ("Id", "CreatedDate", "LastModifiedDate", "SystemModstamp")).stamp == "SystemModstamp"
    assert ObjectQuery("AccountShare", ("Id", "LastModifiedDate")).stamp == "LastModifiedDate"
    assert ObjectQuery("Note", ("Id", "Title")).stamp is None
    history = ObjectQuery("AccountHistory", ("Id", "CreatedDate"), AT).ordered(Position("017000000000001AAA", AT))
    at = literal(AT)
    after = f"(CreatedDate > {at} OR (CreatedDate = {at} AND Id > '017000000000001AAA'))"
    where = f"CreatedDate >= {at} AND {after}"
    assert history == f"SELECT Id,CreatedDate FROM AccountHistory WHERE {where} ORDER BY CreatedDate, Id"
    assert "LoginTime >=" in ObjectQuery("LoginHistory", ("Id", "LoginTime"), AT).unordered()


def test_literals_are_utc() -> None:
    assert literal(AT.astimezone(timezone(timedelta(hours=2)))) == "2026-03-01T12:00:00.250Z"


def test_url_length_counts_escapes() -> None:
    assert url_length("a b") == 5


def test_passing_errors_are_tried_again_with_growing_pauses() -> None:
    error = HoldfastError(Kind.UNAVAILABLE, "down")
    pauses = [PATIENCE.pause(error, Failures(count, timedelta(0))) for count in (0, 1, 2, 40)]
    assert pauses == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4), timedelta(minutes=1)]


def test_patience_ends() -> None:
    down, limit = HoldfastError(Kind.UNAVAILABLE, "down"), HoldfastError(Kind.LIMIT, "used up")
    long = Failures(20, timedelta(minutes=11))
    assert PATIENCE.pause(down, long) is None
    assert PATIENCE.pause(limit, long) is not None
    assert PATIENCE.pause(limit, Failures(99, timedelta(hours=25))) is not None, "a used up limit is waited for"


def test_permanent_errors_are_not_tried_again() -> None:
    for kind in (Kind.FORBIDDEN, Kind.INVALID, Kind.UNAUTHENTICATED, Kind.DAMAGED):
        assert PATIENCE.pause(HoldfastError(kind, "no"), Failures(0, timedelta(0))) is None


def test_a_server_may_name_the_pause() -> None:
    error = HoldfastError(Kind.LIMIT, "used up", retry_after=timedelta(minutes=15))
    assert PATIENCE.pause(error, Failures(0, timedelta(0))) == timedelta(minutes=15)


def test_a_defect_of_ours_is_tried_three_times() -> None:
    error = HoldfastError(Kind.INTERNAL, "bug")
    assert PATIENCE.pause(error, Failures(1, timedelta(0))) is not None
    assert PATIENCE.pause(error, Failures(2, timedelta(0))) is None
