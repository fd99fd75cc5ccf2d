"""`/limits` and `/limits/recordCount`: what the org allows, what is left of it, and how many rows there are."""

from __future__ import annotations

from typing import Any

from holdfast.orgsim.api.rest.records import listed
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.files import STORED_AS_FILES
from holdfast.orgsim.store.counts import living_rows, living_total

router = Router(DATA + "/limits")
BYTES_PER_ROW = 2_048  # what the platform charges for a record of most objects
MIB = 1_048_576
# The sample of the Limits page of the REST API guide, and the keys that newer orgs were seen to add.
LIMITS = {
    "ActiveScratchOrgs": 3, "AnalyticsExternalDataSizeMB": 40_960, "CdpAiInferenceApiMonthlyLimit": 500_000_000,
    "ConcurrentAsyncGetReportInstances": 200, "ConcurrentEinsteinDataInsightsStoryCreation": 5,
    "ConcurrentEinsteinDiscoveryStoryCreation": 2, "ConcurrentSyncReportRuns": 20,
    "DailyAnalyticsDataflowJobExecutions": 60, "DailyAnalyticsUploadedFilesSizeMB": 51_200,
    "DailyApexCursorLimit": 10_000, "DailyApexCursorRowsLimit": 100_000_000, "DailyApexPCursorLimit": 200_000,
    "DailyApiRequests": 100_000, "DailyAsyncApexExecutions": 250_000, "DailyAsyncApexTests": 500,
    "DailyBulkApiBatches": 15_000, "DailyBulkV2QueryFileStorageMB": 976_562, "DailyBulkV2QueryJobs": 10_000,
    "DailyDeliveredPlatformEvents": 10_000, "DailyDurableGenericStreamingApiEvents": 10_000,
    "DailyDurableStreamingApiEvents": 10_000, "DailyEinsteinDataInsightsStoryCreation": 1_000,
    "DailyEinsteinDiscoveryPredictAPICalls": 50_000, "DailyEinsteinDiscoveryPredictionsByCDC": 500_000,
    "DailyEinsteinDiscoveryStoryCreation": 100, "DailyFunctionsApiCallLimit": 235_000,
    "DailyGenericStreamingApiEvents": 10_000, "DailyScratchOrgs": 6, "DailyStandardVolumePlatformEvents": 10_000,
    "DailyStreamingApiEvents": 10_000, "DailyWorkflowEmails": 100_000, "DataStorageMB": 1_024,
    "DurableStreamingApiConcurrentClients": 20, "FileStorageMB": 1_024, "HourlyAsyncReportRuns": 1_200,
    "HourlyDashboardRefreshes": 200, "HourlyDashboardResults": 5_000, "HourlyDashboardStatuses": 999_999_999,
    "HourlyLongTermIdMapping": 100_000, "HourlyManagedContentPublicRequests": 50_000, "HourlyODataCallout": 20_000,
    "HourlyPublishedPlatformEvents": 50_000, "HourlyPublishedStandardVolumePlatformEvents": 1_000,
    "HourlyShortTermIdMapping": 100_000, "HourlySyncReportRuns": 500, "HourlyTimeBasedWorkflow": 1_000,
    "MassEmail": 5_000, "MaxContentDocumentsLimit": 30_000_000, "MonthlyEinsteinDiscoveryStoryCreation": 500,
    "MonthlyPlatformEventsUsageEntitlement": 0, "Package2VersionCreates": 6,
    "Package2VersionCreatesWithoutValidation": 500, "PermissionSets": 1_500,
    "PlatformEventTriggersWithParallelProcessing": 5, "PrivateConnectOutboundCalloutHourlyLimitMB": 0,
    "SingleEmail": 5_000, "StreamingApiConcurrentClients": 20,
}  # fmt: skip


@router.add("GET", "")
async def limits(call: Call) -> Reply:
    """Every limit with its maximum and what is left of it."""
    org = call.org
    used = _used(org)
    accounting = org.accounting
    most = {**LIMITS, "DailyApiRequests": accounting.limit, "DailyBulkApiBatches": accounting.batches.limit}
    answer: dict[str, Any] = {
        name: {"Max": limit, "Remaining": max(0, limit - used.get(name, 0))} for name, limit in most.items()
    }
    answer["PermissionSets"]["CreateCustom"] = {"Max": 1_000, "Remaining": 1_000}
    return json_reply(answer)


def _used(org: Org) -> dict[str, int]:
    now = org.clock.now()
    rows, file_bytes, documents = _stored(org)
    return {
        "DailyApiRequests": org.accounting.used(now),
        "DailyBulkApiBatches": org.accounting.batches.used(now),
        "DailyBulkV2QueryFileStorageMB": org.accounting.result_bytes.used(now) // MIB,
        "DailyBulkV2QueryJobs": org.bulk_jobs.queries_today(now),
        "DataStorageMB": rows * BYTES_PER_ROW // MIB,
        "FileStorageMB": file_bytes // MIB,
        "MaxContentDocumentsLimit": documents,
    }


def _stored(org: Org) -> tuple[int, int, int]:
    """Living rows that count as data, bytes of files, and content documents."""
    rows = sum(living_rows(table) for name, table in org.tables.items() if name not in STORED_AS_FILES)
    sizes = ((org.tables[name], column) for name, column in STORED_AS_FILES.items() if name in org.tables)
    documents = org.tables.get("ContentDocument")
    file_bytes = sum(living_total(table, column) for table, column in sizes)
    return rows, file_bytes, living_rows(documents) if documents is not None else 0


@router.add("GET", "/recordCount")
async def record_count(call: Call) -> Reply:
    """Row counts; objects without rows are left out."""
    asked = listed(call, "sObjects")
    counts = {}
    for name in asked or list(call.org.tables):
        obj = call.org.schema.find(name)
        if obj is None or obj.name not in call.org.tables or not call.user.reads(obj.name):
            continue
        counts[obj.name] = living_rows(call.org.table(obj))
    found = [{"count": count, "name": name} for name, count in sorted(counts.items()) if count]
    return json_reply({"sObjects": found})
