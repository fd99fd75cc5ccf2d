"""Clock-driven parts: retry, signal, loop; and meta, headers, settings, named SQL, log masking."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError

from holdfast.common import cloudevents
from holdfast.common.clock import ManualClock
from holdfast.common.contracts.connections import ConnectionRecovered
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.loops import Loop
from holdfast.common.meta import Meta
from holdfast.common.retry import pause_before, retrying
from holdfast.common.settings import Settings
from holdfast.common.sql import Queries
from holdfast.common.telemetry import hide_secrets
from holdfast.common.wakeup import Signal

START = datetime(2026, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


class Flaky:
    """Fails as told, then answers 42."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 42


def unavailable(retry_after: timedelta | None = None) -> HoldfastError:
    return HoldfastError(Kind.UNAVAILABLE, "not now", retry_after=retry_after)


async def retry(call: Flaky, clock: ManualClock, attempts: int = 4) -> int:
    return await retrying(call, attempts=attempts, base=100 * MS, cap=timedelta(seconds=1), clock=clock)


async def test_retry_waits_and_succeeds() -> None:
    clock, call = ManualClock(START), Flaky(unavailable(), unavailable())
    assert await retry(call, clock) == 42
    assert call.calls == 3
    assert 0.01 <= clock.monotonic() <= 0.3


async def test_retry_gives_up_with_the_last_error() -> None:
    call = Flaky(*(unavailable() for _ in range(9)))
    with pytest.raises(HoldfastError, match="not now"):
        await retry(call, ManualClock(START), attempts=3)
    assert call.calls == 3


async def test_retry_leaves_a_permanent_error_alone() -> None:
    call = Flaky(HoldfastError(Kind.INVALID, "never"))
    with pytest.raises(HoldfastError, match="never"):
        await retry(call, ManualClock(START))
    assert call.calls == 1


async def test_retry_obeys_retry_after() -> None:
    clock = ManualClock(START)
    await retry(Flaky(unavailable(timedelta(seconds=30))), clock)
    assert clock.monotonic() == 30


def test_pause_is_capped_and_never_zero() -> None:
    for attempt in range(2, 60):
        assert 10 * MS <= pause_before(attempt, 100 * MS, timedelta(seconds=1)) <= timedelta(seconds=1)


async def test_signal_is_taken_once() -> None:
    signal = Signal()
    signal.set()
    signal.set()
    assert await signal.wait(timedelta(seconds=5)) is True
    assert await signal.wait(timedelta(milliseconds=1)) is False


async def test_loop_works_until_idle_then_waits_for_the_signal() -> None:
    signal, results = Signal(), [True, True, False, False]
    done = asyncio.Event()

    async def work() -> bool:
        result = results.pop(0)
        if not results:
            done.set()
        elif len(results) == 1:
            signal.set()
        return result

    task = asyncio.create_task(Loop("l", work, signal, timedelta(hours=1)).run())
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    assert results == []


async def test_loop_backs_off_after_errors_and_recovers() -> None:
    clock, done = ManualClock(START), asyncio.Event()
    errors: list[Exception] = [unavailable(), ValueError("a bug")]

    async def work() -> bool:
        if errors:
            raise errors.pop(0)
        done.set()
        return False

    loop = Loop("l", work, Signal(), timedelta(hours=1), clock)
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        await done.wait()
        await asyncio.sleep(0)
    task.cancel()
    assert clock.monotonic() > 0
    assert loop.failures == 0


async def test_loop_ends_when_the_process_cannot_be_trusted() -> None:
    async def work() -> bool:
        raise MemoryError

    with pytest.raises(MemoryError):
        await Loop("l", work, Signal(), timedelta(hours=1)).run()


def test_meta_keeps_the_correlation(meta: Meta) -> None:
    caused = meta.caused_by(UUID(int=9), actor="service:differ")
    assert caused == Meta(meta.correlation_id, UUID(int=9), "service:differ")


def test_headers_come_back_as_they_went(meta: Meta) -> None:
    event = ConnectionRecovered(connection_id=UUID(int=3))
    headers = cloudevents.event_headers(event, meta, START)
    identity = cloudevents.message_id(event.topic(), event.key(), 5)
    headers |= {"ce_id": str(identity), "ce_sequence": "5"}
    envelope = cloudevents.parse(cloudevents.to_kafka(headers))
    assert envelope == (identity, event.TYPE, event.key(), 5, Meta(meta.correlation_id, identity, "user:tester"))


def test_message_id_differs_by_topic_key_and_number() -> None:
    ids = {cloudevents.message_id(t, k, n) for t in ("a", "b") for k in ("x", "y") for n in (1, 2)}
    assert len(ids) == 8
    assert cloudevents.message_id("a", "x", 1) == cloudevents.message_id("a", "x", 1)


COMPLETE = {
    "ce_id": b"00000000-0000-0000-0000-000000000001",
    "ce_type": b"t",
    "ce_subject": b"s",
    "ce_sequence": b"1",
    "correlation_id": b"00000000-0000-0000-0000-000000000002",
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ce_id": None}, "headers are missing: ce_id"),
        ({"ce_id": b"1"}, "badly formed"),
        ({"ce_type": b"\xff"}, "invalid start byte"),
        ({"ce_subject": b"a\x00b"}, "holds a NUL"),
        ({"ce_sequence": b"one"}, "invalid literal"),
    ],
)
def test_bad_headers_are_a_value_error(change: dict[str, bytes], sentence: str) -> None:
    assert cloudevents.parse(COMPLETE.items()).number == 1
    with pytest.raises(ValueError, match=sentence):
        cloudevents.parse((COMPLETE | change).items())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"internal_token": "  "}, "HOLDFAST_INTERNAL_TOKEN is empty"),
        ({"secret_key": "c2hvcnQ="}, "must be 32 bytes"),
        ({"secret_key": "not base64!"}, "not base64"),
    ],
)
def test_bad_secrets_are_refused(settings: Settings, change: dict[str, str], sentence: str) -> None:
    values = {"internal_token": "t", "secret_key": base64.b64encode(bytes(32)).decode()} | change
    with pytest.raises(ValidationError, match=sentence):
        Settings(**values)  # type: ignore[arg-type]


def test_queries_have_names(tmp_path: Path) -> None:
    queries = Queries.load("holdfast.common")
    assert queries.load_stream.startswith("-- A stream's facts")
    with pytest.raises(AttributeError, match="no statement named 'loda_stream'"):
        queries.loda_stream  # noqa: B018


def test_every_statement_of_common_is_used() -> None:
    folder = Path(cloudevents.__file__).parent
    code = "".join(path.read_text() for path in folder.glob("*.py"))
    unused = [name for name in Queries.load("holdfast.common").names() if f"queries.{name}" not in code]
    assert unused == []


def test_a_statement_that_is_named_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sqltwice").mkdir()
    (tmp_path / "sqltwice" / "__init__.py").touch()
    (tmp_path / "sqltwice" / "queries.sql").write_text("-- name: a\nselect 1;\n-- name: a\nselect 2;\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="'a' twice"):
        Queries.load("sqltwice")


def test_secrets_never_reach_the_log() -> None:
    event = {"event": "x", "access_token": "s3cret", "key": SecretStr("s3cret"), "Authorization": "Bearer s3cret"}
    assert "s3cret" not in str(hide_secrets(None, "info", event))
