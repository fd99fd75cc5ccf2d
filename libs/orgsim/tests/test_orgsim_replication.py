"""getDeleted and getUpdated: spans, horizons and the delete log."""

from datetime import datetime, timedelta

import pytest

V = "/services/data/v62.0"


async def make(api, name: str) -> str:
    return (await api.http.post(f"{V}/sobjects/Account", json={"Name": name})).json()["id"]


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S+00:00")


async def asked(api, kind: str, start: timedelta, end: timedelta, name: str = "Account"):
    now = api.org.clock.now()
    await api.sign_in()
    params = {"start": text(now + start), "end": text(now + end)}
    return await api.http.get(f"{V}/sobjects/{name}/{kind}/", params=params)


async def test_nothing_older_than_the_trimmed_delete_log_is_known(api) -> None:
    early, late = await make(api, "early"), await make(api, "late")
    await api.http.delete(f"{V}/sobjects/Account/{early}")
    api.org.clock.advance(timedelta(hours=3))
    await api.sign_in()
    await api.http.delete(f"{V}/sobjects/Account/{late}")
    api.org.clock.advance(timedelta(minutes=2))
    answer = (await asked(api, "deleted", timedelta(hours=-5), timedelta())).json()
    assert [row["id"] for row in answer["deletedRecords"]] == [early, late]
    fortnight = datetime.fromisoformat(answer["earliestDateAvailable"])
    assert api.org.clock.now() - fortnight < timedelta(days=15, seconds=2)

    until = (api.org.clock.now() - timedelta(hours=1)).replace(microsecond=0)
    await api.http.post("/_org/delete-log", json={"until": until.isoformat(), "object": "Account"})
    answer = (await asked(api, "deleted", timedelta(hours=-5), timedelta())).json()
    assert [row["id"] for row in answer["deletedRecords"]] == [late]
    assert datetime.fromisoformat(answer["earliestDateAvailable"]) == until


async def test_deletes_are_known_for_15_days_and_changes_for_30(api) -> None:
    kept, gone = await make(api, "kept"), await make(api, "gone")
    await api.http.delete(f"{V}/sobjects/Account/{gone}")
    api.org.clock.advance(timedelta(days=14))
    answer = (await asked(api, "deleted", timedelta(days=-15), timedelta())).json()
    assert [row["id"] for row in answer["deletedRecords"]] == [gone]
    api.org.clock.advance(timedelta(days=2))
    assert (await asked(api, "deleted", timedelta(days=-17), timedelta())).json()["deletedRecords"] == []
    assert (await asked(api, "updated", timedelta(days=-29), timedelta())).json()["ids"] == [kept]
    old = await asked(api, "updated", timedelta(days=-31), timedelta())
    assert old.json() == [{"message": "startDate before org replication enabled date",
                           "errorCode": "INVALID_REPLICATION_DATE"}]  # fmt: skip


@pytest.mark.parametrize(("seconds", "status"), [(59, 400), (60, 200), (-600, 400)])
async def test_the_span_is_cut_to_minutes_and_lasts_at_least_one(api, seconds: int, status: int) -> None:
    api.org.clock.set(datetime.fromisoformat("2026-05-05T10:30:00+00:00"), frozen=True)
    await api.sign_in()
    answer = await asked(api, "updated", timedelta(hours=-1), timedelta(hours=-1, seconds=seconds))
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {"ids": [], "latestDateCovered": "2026-05-05T09:31:00.000+0000"}
    else:
        assert answer.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"


async def test_too_many_ids_and_objects_without_replication(api, monkeypatch) -> None:
    for name in "ab":
        await make(api, name)
    api.org.clock.advance(timedelta(minutes=2))
    monkeypatch.setattr("holdfast.orgsim.api.rest.replication.MOST_IDS", 1)
    answer = await asked(api, "updated", timedelta(hours=-1), timedelta())
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    answer = await asked(api, "deleted", timedelta(hours=-1), timedelta(), "ContentDocumentLink")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_TYPE")
    assert (await api.http.get(f"{V}/sobjects/Account/deleted?start=x&end=y")).status_code == 400
    early = {"start": "0001-01-01T00:00:00+23:59", "end": "9999-12-31T23:59:59-12:00"}
    assert (await api.http.get(f"{V}/sobjects/Account/deleted", params=early)).status_code == 400
    assert (await api.http.get(f"{V}/sobjects/Account/deleted")).json()[0]["errorCode"] == "MISSING_ARGUMENT"
