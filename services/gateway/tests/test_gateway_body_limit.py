"""A large body is refused before it is read, and never held."""

from __future__ import annotations

import json

MIB = 1024 * 1024


class Sender:
    """A client of the ASGI application that counts how much of its body was taken before the answer."""

    def __init__(self, token: str, body_bytes: int, announced: bool) -> None:
        self.left = body_bytes
        self.taken_before_answer = 0
        self.answer: list[dict] = []
        headers = [(b"authorization", f"Bearer {token}".encode()), (b"content-type", b"application/json")]
        if announced:
            headers.append((b"content-length", str(body_bytes).encode()))
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/v1/jobs",
            "raw_path": b"/v1/jobs",
            "query_string": b"",
            "headers": headers,
            "scheme": "http",
            "server": ("gateway", 80),
            "client": ("client", 1),
            "root_path": "",
        }

    async def receive(self) -> dict:
        size = min(self.left, 64 * 1024)
        self.left -= size
        if not self.answer:
            self.taken_before_answer += size
        return {"type": "http.request", "body": b" " * size, "more_body": self.left > 0}

    async def send(self, message: dict) -> None:
        self.answer.append(message)

    def problem(self) -> dict:
        return json.loads(b"".join(part.get("body", b"") for part in self.answer))


async def test_50_mb_announced_are_refused_unread(world):
    sender = Sender(world.token, 50 * MIB, announced=True)
    await world.app(sender.scope, sender.receive, sender.send)
    assert sender.answer[0]["status"] == 413
    assert sender.problem()["code"] == "too-large"
    assert sender.taken_before_answer == 0
    assert (b"connection", b"close") in sender.answer[0]["headers"]
    assert sender.left == 0, "what was still coming is thrown away, so that the client can read the answer"


async def test_50_mb_unannounced_are_refused_at_the_limit(world):
    sender = Sender(world.token, 50 * MIB, announced=False)
    await world.app(sender.scope, sender.receive, sender.send)
    assert sender.answer[0]["status"] == 413
    assert sender.problem()["code"] == "too-large"
    assert sender.taken_before_answer <= MIB + 64 * 1024


async def test_stranger_is_refused_before_the_size_matters(world):
    sender = Sender("hf_wrong", 50 * MIB, announced=False)
    await world.app(sender.scope, sender.receive, sender.send)
    assert sender.answer[0]["status"] == 401 and sender.taken_before_answer == 0


async def test_unannounced_body_is_taken_to_its_end_after_the_answer(world):
    sender = Sender(world.token, 50 * MIB, announced=False)
    await world.app(sender.scope, sender.receive, sender.send)
    assert sender.left == 0
    assert [message["type"] for message in sender.answer].count("http.response.start") == 1
    assert not sender.answer[-1]["more_body"] and sender.answer[-2]["more_body"]
