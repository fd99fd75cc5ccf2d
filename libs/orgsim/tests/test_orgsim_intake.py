"""What every request goes through: lengths, encodings, media types, methods, versions, mistakes of our own."""

import gzip
import logging
import re

import pytest

V = "/services/data/v62.0"


async def test_uris_and_headers_have_a_longest(api) -> None:
    fits = await api.http.get(f"{V}/limits", params={"x": "a" * 15_000})
    assert fits.status_code == 200
    answer = await api.http.get(f"{V}/limits", params={"x": "a" * 16_384})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (414, "URI_TOO_LONG")
    answer = await api.http.get(f"{V}/limits", headers={"X-Long": "a" * 16_384})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (431, "REQUEST_HEADER_FIELDS_TOO_LARGE")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json", 201), ("application/json; charset=utf-8", 201), ("APPLICATION/JSON", 201), ("", 201),
     ("application/x-www-form-urlencoded", 415), ("text/plain", 415), ("application/jsonp", 415)],
)  # fmt: skip
async def test_a_body_is_json_or_refused(api, content_type: str, status: int) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await api.http.post(f"{V}/sobjects/Account", content=b'{"Name":"A"}', headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert answer.json()[0]["errorCode"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_gzip_and_chunked_bodies(api) -> None:
    packed = gzip.compress(b'{"Name":"Packed"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (await api.http.post(f"{V}/sobjects/Account", content=packed, headers=headers)).status_code == 201
    assert (await api.http.post(f"{V}/sobjects/Account", content=b"no gzip", headers=headers)).status_code == 400

    async def chunks():
        yield b'{"Name":'
        yield b'"Chunked"}'

    answer = await api.http.post(
        f"{V}/sobjects/Account", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201


async def test_post_may_stand_for_patch_and_head_for_get(api) -> None:
    made = (await api.http.post(f"{V}/sobjects/Account", json={"Name": "A"})).json()["id"]
    answer = await api.http.post(f"{V}/sobjects/Account/{made}?_HttpMethod=PATCH", json={"Name": "B"})
    assert answer.status_code == 204
    assert (await api.http.get(f"{V}/sobjects/Account/{made}")).json()["Name"] == "B"
    got, head = await api.http.get(f"{V}/limits"), await api.http.head(f"{V}/limits")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [("GET", "/services/data/v24.0/limits", 410, "UNSUPPORTED_API_VERSION"),
     ("GET", "/services/data/v69.0/limits", 404, "NOT_FOUND"), ("GET", "/services/data/v62/limits", 404, "NOT_FOUND"),
     ("GET", "/services/data/v31.0/limits/", 200, "DailyApiRequests"),
     ("GET", "/services/data/v68.0//limits//?unknown=1", 200, "DailyApiRequests"),
     ("POST", "/services/Soap/u/24.0", 500, "UNSUPPORTED_API_VERSION"),
     ("POST", "/services/async/24.0/job", 400, "InvalidVersion"),
     ("PUT", f"{V}/limits", 405, "METHOD_NOT_ALLOWED")],
)  # fmt: skip
async def test_versions_slashes_and_methods(api, method: str, path: str, status: int, expected: str) -> None:
    answer = await api.http.request(method, path)
    assert (answer.status_code, expected in answer.text) == (status, True)


async def test_a_mistake_of_ours_has_an_id_that_stands_in_the_log(api, monkeypatch, caplog) -> None:
    def broken(*_arguments: object) -> int:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(api.org.accounting, "charge", broken)
    with caplog.at_level(logging.ERROR):
        answer = await api.http.get(f"{V}/limits")
    assert answer.status_code == 500
    error = answer.json()[0]
    assert error["errorCode"] == "UNKNOWN_EXCEPTION"
    assert "RuntimeError" not in answer.text
    number = re.search(r"ErrorId if you contact support: (\d+-\d+ \(-?\d+\))", error["message"])
    assert number is not None
    assert number[1] in caplog.text
    assert answer.headers["sforce-limit-info"].startswith("api-usage=")


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 200), ("http://org", 200), ("http://evil.example", 403), ("null", 403), ("http://o", 403), ("", 403)],
)
async def test_another_sites_page_does_not_reach_the_admin_api(api, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin}
    answer = await api.http.post("/_org/clock", content=b'{"advance_s": 1}', headers=headers)
    assert answer.status_code == status
    answer = await api.http.get(f"{V}/limits", headers=headers)
    assert answer.status_code == 200  # whoever holds a token may call from anywhere
