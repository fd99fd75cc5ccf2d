"""A signed-in client of an org's public APIs, as anybody's integration would write it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape

import httpx

VERSION = "v62.0"
NOT_VALUES = frozenset({"address", "location", "base64"})
COLLECTION_ROWS = 200  # the platform's limit of one sObject Collections call

ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:urn="urn:partner.soap.sforce.com" xmlns:sobj="urn:sobject.partner.soap.sforce.com">'
    "<soapenv:Header><urn:SessionHeader><urn:sessionId>{session}</urn:sessionId></urn:SessionHeader>"
    "</soapenv:Header><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
)


class OrgSession:
    """Queries and edits an org over REST, sObject Collections and SOAP.

    Raises:
        httpx.HTTPStatusError: The org refused a call.
        RuntimeError: The org refused rows of a call; the message holds its words.
    """

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30)
        grant = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        answer = self._http.post("/services/oauth2/token", data=grant)
        answer.raise_for_status()
        self._token = answer.json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {self._token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def query(self, soql: str) -> Iterator[dict[str, Any]]:
        """Every record a query returns."""
        answer = self._get(f"/services/data/{VERSION}/query", {"q": soql})
        yield from answer["records"]
        while not answer["done"]:
            answer = self._get(answer["nextRecordsUrl"], {})
            yield from answer["records"]

    def field_types(self, object_name: str) -> dict[str, str]:
        """Type of every field that holds a value of its own: not compound, not a body."""
        answer = self._get(f"/services/data/{VERSION}/sobjects/{object_name}/describe", {})
        return {field["name"]: field["type"] for field in answer["fields"] if field["type"] not in NOT_VALUES}

    def insert(self, object_name: str, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Create records; their new ids in order."""
        return [result["id"] for result in self._collections("POST", object_name, rows)]

    def update(self, object_name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Change records; each row carries its `id`."""
        list(self._collections("PATCH", object_name, rows))

    def delete(self, ids: Sequence[str]) -> None:
        """Move records to the recycle bin."""
        for start in range(0, len(ids), COLLECTION_ROWS):
            batch = ",".join(ids[start : start + COLLECTION_ROWS])
            answer = self._http.delete(
                f"/services/data/{VERSION}/composite/sobjects", params={"ids": batch, "allOrNone": "true"}
            )
            _checked_rows(answer)

    def undelete(self, ids: Sequence[str]) -> None:
        """Take records out of the recycle bin, with their ids."""
        self._soap("<urn:undelete>" + "".join(f"<urn:ids>{i}</urn:ids>" for i in ids) + "</urn:undelete>")

    def empty_recycle_bin(self, ids: Sequence[str]) -> None:
        """Delete records for good that are in the recycle bin."""
        self._soap("<urn:emptyRecycleBin>" + "".join(f"<urn:ids>{i}</urn:ids>" for i in ids) + "</urn:emptyRecycleBin>")

    def merge(self, object_name: str, master_id: str, loser_id: str) -> None:
        """Merge one record into another; the loser points at the master from then on."""
        self._soap(
            f"<urn:merge><urn:request><urn:masterRecord><sobj:type>{object_name}</sobj:type>"
            f"<sobj:Id>{master_id}</sobj:Id></urn:masterRecord>"
            f"<urn:recordToMergeIds>{loser_id}</urn:recordToMergeIds></urn:request></urn:merge>"
        )

    def _get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        answer = self._http.get(path, params=params)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    def _collections(self, method: str, object_name: str, rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for start in range(0, len(rows), COLLECTION_ROWS):
            records = [{"attributes": {"type": object_name}, **row} for row in rows[start : start + COLLECTION_ROWS]]
            answer = self._http.request(
                method,
                f"/services/data/{VERSION}/composite/sobjects",
                json={"allOrNone": True, "records": records},
            )
            yield from _checked_rows(answer)

    def _soap(self, body: str) -> None:
        answer = self._http.post(
            "/services/Soap/u/59.0",
            content=ENVELOPE.format(session=escape(self._token), body=body),
            headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
        )
        if answer.status_code != httpx.codes.OK or "<success>true</success>" not in answer.text:
            raise RuntimeError(f"the org refused a SOAP call: {answer.text[:500]}")


def _checked_rows(answer: httpx.Response) -> list[dict[str, Any]]:
    answer.raise_for_status()
    rows: list[dict[str, Any]] = answer.json()
    refused = [row for row in rows if not row["success"]]
    if refused:
        raise RuntimeError(f"the org refused {len(refused)} of {len(rows)} rows, first: {refused[0]['errors']}")
    return rows
