"""What the org says of itself: limits, counts, describes, layouts, tabs."""

from datetime import timedelta

import pytest

V = "/services/data/v62.0"


async def make(api, name: str, **values) -> str:
    answer = await api.http.post(f"{V}/sobjects/{name}", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_versions_oldest_first_without_a_session(api) -> None:
    del api.http.headers["Authorization"]
    used = api.org.accounting.total
    answer = await api.http.get("/services/data/")
    assert answer.json()[0] == {"label": "Summer '14", "url": "/services/data/v31.0", "version": "31.0"}
    labels = {row["version"]: row["label"] for row in answer.json()}
    assert (labels["33.0"], labels["66.0"], labels["67.0"]) == ("Spring '15", "Spring '26", "Summer '26")
    assert list(labels) == sorted(labels)
    assert "sforce-limit-info" not in answer.headers
    assert api.org.accounting.total == used


async def test_rows_that_know_no_recycle_bin_are_counted_too(api) -> None:
    big = {"name": "Big__b", "fields": [{"name": "T__c", "type": "string"}]}
    await api.http.post("/_org/schema", json={"objects": [big]})
    await api.http.post(f"{V}/sobjects/Big__b", json={"T__c": "x"})
    await api.query("SELECT QualifiedApiName FROM EntityDefinition LIMIT 1")
    assert (await api.http.get(f"{V}/limits")).status_code == 200
    counted = (await api.http.get(f"{V}/limits/recordCount", params={"sObjects": "Big__b"})).json()
    assert counted == {"sObjects": [{"count": 1, "name": "Big__b"}]}
    assert (await api.http.get("/_org/objects")).json()["objects"]["Big__b"] == {"rows": 1, "deleted": 0}


async def test_limits_have_every_documented_key_and_fall_as_they_are_used(api) -> None:
    first = (await api.http.get(f"{V}/limits/")).json()
    documented = {"ActiveScratchOrgs", "AnalyticsExternalDataSizeMB", "ConcurrentAsyncGetReportInstances",
                  "ConcurrentEinsteinDataInsightsStoryCreation", "ConcurrentEinsteinDiscoveryStoryCreation",
                  "ConcurrentSyncReportRuns", "DailyAnalyticsDataflowJobExecutions",
                  "DailyAnalyticsUploadedFilesSizeMB", "DailyApiRequests", "DailyAsyncApexExecutions",
                  "DailyAsyncApexTests", "DailyBulkApiBatches", "DailyBulkV2QueryFileStorageMB",
                  "DailyBulkV2QueryJobs", "DailyDeliveredPlatformEvents", "DailyDurableGenericStreamingApiEvents",
                  "DailyDurableStreamingApiEvents", "DailyEinsteinDataInsightsStoryCreation",
                  "DailyEinsteinDiscoveryPredictAPICalls", "DailyEinsteinDiscoveryPredictionsByCDC",
                  "DailyEinsteinDiscoveryStoryCreation", "DailyFunctionsApiCallLimit",
                  "DailyGenericStreamingApiEvents", "DailyScratchOrgs", "DailyStandardVolumePlatformEvents",
                  "DailyStreamingApiEvents", "DailyWorkflowEmails", "DataStorageMB",
                  "DurableStreamingApiConcurrentClients", "FileStorageMB", "HourlyAsyncReportRuns",
                  "HourlyDashboardRefreshes", "HourlyDashboardResults", "HourlyDashboardStatuses",
                  "HourlyLongTermIdMapping", "HourlyManagedContentPublicRequests", "HourlyODataCallout",
                  "HourlyPublishedPlatformEvents", "HourlyPublishedStandardVolumePlatformEvents",
                  "HourlyShortTermIdMapping", "HourlySyncReportRuns", "HourlyTimeBasedWorkflow", "MassEmail",
                  "MonthlyEinsteinDiscoveryStoryCreation", "Package2VersionCreates",
                  "Package2VersionCreatesWithoutValidation", "PermissionSets",
                  "PlatformEventTriggersWithParallelProcessing", "PrivateConnectOutboundCalloutHourlyLimitMB",
                  "SingleEmail", "StreamingApiConcurrentClients"}  # fmt: skip
    assert documented <= set(first)
    assert all({"Max", "Remaining"} <= set(limit) for limit in first.values())
    assert first["PermissionSets"]["CreateCustom"] == {"Max": 1000, "Remaining": 1000}
    await api.http.post(f"{V}/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"})
    rows = [{"Name": str(n)} for n in range(1200)]
    await api.http.post("/_org/objects", json={"name": "Many__c", "fields": [], "rows": rows})
    then = (await api.http.get(f"{V}/limits")).json()
    fell = {name: first[name]["Remaining"] - then[name]["Remaining"] for name in first}
    assert {name: by for name, by in fell.items() if by} == {
        "DailyApiRequests": 2, "DailyBulkV2QueryJobs": 1, "DataStorageMB": 2,
    }  # fmt: skip


async def test_a_result_page_uses_up_result_storage_once(api) -> None:
    await make(api, "Account", Name="x")
    body = {"operation": "query", "query": "SELECT Name FROM Account"}
    job = (await api.http.post(f"{V}/jobs/query", json=body)).json()["id"]
    used = []
    for _ in range(2):
        answer = await api.http.get(f"{V}/jobs/query/{job}/results", headers={"Accept-Encoding": "identity"})
        assert answer.status_code == 200
        used.append(api.org.accounting.result_bytes.used(api.org.clock.now()))
    assert used == [len('"x"\n')] * 2


async def test_record_counts_leave_out_empty_and_deleted(api) -> None:
    kept, gone = await make(api, "Account", Name="a"), await make(api, "Account", Name="b")
    contact = await make(api, "Contact", LastName="c")
    await api.http.delete(f"{V}/sobjects/Account/{gone}")
    await api.http.delete(f"{V}/sobjects/Contact/{contact}")
    answer = await api.http.get(f"{V}/limits/recordCount", params={"sObjects": "Account,Contact,Opportunity,Nope"})
    assert answer.json() == {"sObjects": [{"count": 1, "name": "Account"}]}
    listed = {row["name"]: row["count"] for row in (await api.http.get(f"{V}/limits/recordCount")).json()["sObjects"]}
    assert listed["Account"] == 1 and listed["User"] == 1 and "Contact" not in listed
    await api.http.delete(f"{V}/sobjects/Account/{kept}")
    assert (await api.http.get(f"{V}/limits/recordCount?sObjects=Account")).json() == {"sObjects": []}


async def test_describe_global_and_describe_answer_304_also_inside_composite(api) -> None:
    url = f"{V}/sobjects"
    first = await api.http.get(url)
    parts = [
        {"method": "GET", "url": url, "referenceId": f"r{n}", "httpHeaders": {name: first.headers[echo]}}
        for n, (name, echo) in enumerate((("If-Modified-Since", "Last-Modified"), ("If-None-Match", "ETag")))
    ]
    answer = (await api.http.post(f"{V}/composite", json={"compositeRequest": parts})).json()["compositeResponse"]
    for part in answer:
        assert (part["httpStatusCode"], part["body"]) == (304, None)
        assert part["httpHeaders"] == {"ETag": first.headers["ETag"], "Last-Modified": first.headers["Last-Modified"]}
    api.org.clock.advance(timedelta(seconds=5))
    await api.http.post("/_org/objects", json={"name": "New__c", "fields": [], "rows": []})
    answer = (await api.http.post(f"{V}/composite", json={"compositeRequest": parts})).json()["compositeResponse"]
    assert [part["httpStatusCode"] for part in answer] == [200, 200]
    old = await api.http.get(url, headers={"If-Modified-Since": "no date"})
    assert old.status_code == 200


async def test_object_basics_and_recent_records(api) -> None:
    mru = {"Sforce-Mru": "updateMru=true"}
    new = (await api.http.post(f"{V}/sobjects/Account", json={"Name": "seen"}, headers=mru)).json()["id"]
    await make(api, "Account", Name="not noted")
    basics = (await api.http.get(f"{V}/sobjects/Account/")).json()
    assert basics["objectDescribe"]["name"] == "Account" and basics["objectDescribe"]["urls"]["sobject"]
    seen = {"attributes": {"type": "Account", "url": f"{V}/sobjects/Account/{new}"}, "Id": new, "Name": "seen"}
    assert basics["recentItems"] == [seen]
    assert (await api.http.get(f"{V}/recent?limit=3")).json() == [seen]
    await api.http.delete(f"{V}/sobjects/Account/{new}")
    assert (await api.http.get(f"{V}/recent")).json() == []


async def test_layouts_name_every_field_and_the_record_types(api) -> None:
    answer = (await api.http.get(f"{V}/sobjects/Contact/describe/layouts")).json()
    assert set(answer) == {"layouts", "recordTypeMappings", "recordTypeSelectorRequired"}
    fields = {row["layoutItems"][0]["layoutComponents"][0]["value"]
              for row in answer["layouts"][0]["detailLayoutSections"][0]["layoutRows"]}  # fmt: skip
    assert {"LastName", "AccountId"} <= fields
    several = (await api.http.get(f"{V}/sobjects/Account/describe/layouts/")).json()
    assert several["layouts"] == [None] and several["recordTypeSelectorRequired"] == [True]
    link = several["recordTypeMappings"][0]["urls"]["layout"]
    one = (await api.http.get(link)).json()
    assert one["id"] == several["recordTypeMappings"][0]["layoutId"] and one["editLayoutSections"]
    compact = (await api.http.get(f"{V}/sobjects/Account/describe/compactLayouts")).json()
    assert compact["recordTypeCompactLayoutMappings"][1]["recordTypeId"] == "012000000000000AAA"
    many = (await api.http.get(f"{V}/compactLayouts?q=Account,Contact")).json()
    assert many["Account"]["fieldItems"][0]["layoutComponents"][0]["value"] == "Name"
    assert (await api.http.get(f"{V}/sobjects/Account/describe/approvalLayouts")).json() == {"approvalLayouts": []}
    for path in ("Account/describe/layouts/012000000000001AAA", "User/describe/namedLayouts/Nope", "Nope/describe"):
        assert (await api.http.get(f"{V}/sobjects/{path}")).status_code == 404, path


@pytest.mark.parametrize(
    ("path", "found"),
    [("tabs", lambda b: {"label", "url", "name", "custom", "sobjectName"} <= set(b[0])),
     ("theme", lambda b: b["themeItems"][0]["colors"]),
     ("appMenu", lambda b: b["AppSwitcher"].endswith("/appMenu/AppSwitcher")),
     ("appMenu/AppSwitcher", lambda b: b == {"appMenuItems": []}),
     ("quickActions", lambda b: b[0]["urls"]["quickAction"]),
     ("sobjects/Account/quickActions", lambda b: b == []),
     ("process/approvals", lambda b: b == {"approvals": {}}), ("process/rules", lambda b: b == {"rules": {}}),
     ("actions", lambda b: b["standard"].endswith("/actions/standard")),
     ("composite", lambda b: b["graph"].endswith("/composite/graph"))],
)  # fmt: skip
async def test_what_user_interfaces_ask_for(api, path: str, found) -> None:
    answer = await api.http.get(f"{V}/{path}")
    assert answer.status_code == 200, answer.text
    assert found(answer.json())


async def test_passwords(api) -> None:
    url = f"{V}/sobjects/User/{api.org.admin.id}/password"
    assert (await api.http.get(url)).json() == {"isExpired": False}
    assert (await api.http.post(url, json={"NewPassword": "long enough"})).status_code == 204
    assert (await api.http.post(url, json={"NewPassword": "short"})).json()[0]["errorCode"] == "INVALID_NEW_PASSWORD"
    assert len((await api.http.delete(url)).json()["NewPassword"]) == 12
    assert (await api.http.get(f"{V}/sobjects/User/005000000000000AAA/password")).status_code == 404
