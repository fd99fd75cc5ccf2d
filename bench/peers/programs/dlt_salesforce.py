"""dlt into Parquet files; records come as its Salesforce source reads them, by queryAll of simple-salesforce."""

import json
import os
import sys
import time
from pathlib import Path

work = json.loads(Path(sys.argv[1]).read_text())
os.environ.update(
    SCHEMA__NAMING="direct",
    RUNTIME__DLTHUB_TELEMETRY="false",
    RUNTIME__LOG_LEVEL="ERROR",
    DLT_DATA_DIR=work["out"] + "/dlt",
    DESTINATION__FILESYSTEM__BUCKET_URL="file://" + work["out"] + "/stored",
)

import dlt  # noqa: E402 - reads the environment
from simple_salesforce import Salesforce  # noqa: E402

sf = Salesforce(session_id=work["token"], instance_url=work["url"], version="62.0")
sf.base_url = f"{work['url']}/services/data/v62.0/"


def records(name, fields):
    where = f" WHERE {work['where']}" if work["where"] else ""
    url, params = f"{sf.base_url}queryAll/", {"q": f"SELECT {','.join(fields)} FROM {name}{where}"}
    while url:  # query_all_iter, whose next page insists on https
        page = sf._call_salesforce("GET", url, name="query_all", params=params).json()
        params = None
        for record in page["records"]:
            record.pop("attributes", None)
            yield record
        url = work["url"] + page["nextRecordsUrl"] if not page["done"] else None


@dlt.source(name="salesforce", max_table_nesting=0)
def source():
    for name, fields in work["objects"].items():
        yield dlt.resource(records(name, fields), name=name, primary_key="Id", write_disposition="replace")


started = time.perf_counter()
pipeline = dlt.pipeline("bench", destination="filesystem", dataset_name="org")
pipeline.run(source(), loader_file_format="parquet")
seconds = time.perf_counter() - started
stored = Path(work["out"]) / "stored" / "org"
files = {name: [str(path) for path in (stored / name).glob("*.parquet")] for name in work["objects"]}
counts = pipeline.last_trace.last_normalize_info.row_counts
print(json.dumps({"seconds": seconds, "rows": {name: counts.get(name, 0) for name in work["objects"]}, "files": files}))
