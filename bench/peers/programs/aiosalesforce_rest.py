"""aiosalesforce: REST queries of four objects at once, written as JSON lines. It has no Bulk queries."""

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx
from aiosalesforce import Salesforce
from aiosalesforce.auth import ClientCredentialsFlow

work = json.loads(Path(sys.argv[1]).read_text())


async def main():
    rows, files, at_once = {}, {}, asyncio.Semaphore(4)
    async with httpx.AsyncClient(timeout=120) as http:
        auth = ClientCredentialsFlow(work["client_id"], work["client_secret"])
        sf = Salesforce(http, "https://bench.my.salesforce.com", auth)
        sf._Salesforce__base_url = work["url"]  # it insists on https; all others here speak http too

        async def one(name, fields):
            where = f" WHERE {work['where']}" if work["where"] else ""
            query = f"SELECT {','.join(fields)} FROM {name}{where}"
            files[name] = [str(Path(work["out"]) / f"{name}.jsonl")]
            rows[name] = 0
            async with at_once:
                with Path(files[name][0]).open("w") as out:
                    async for record in sf.query(query, include_all_records=True):
                        out.write(json.dumps(record) + "\n")
                        rows[name] += 1

        started = time.perf_counter()
        await asyncio.gather(*(one(name, fields) for name, fields in work["objects"].items()))
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": rows, "files": files}))


asyncio.run(main())
