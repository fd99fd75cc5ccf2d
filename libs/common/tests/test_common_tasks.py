import asyncio
from contextlib import suppress

from holdfast.common.tasks import end_tasks


async def test_a_task_that_swallows_a_cancellation_is_asked_again() -> None:
    asked = 0

    async def stubborn() -> None:
        nonlocal asked
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                asked += 1
                if asked == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end_tasks([task], ask_again_s=0.01)
    assert task.cancelled()
    assert asked == 3


async def test_work_that_ends_by_itself_is_waited_for() -> None:
    ended = asyncio.Event()

    async def commits() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(0.01)
        ended.set()

    task = asyncio.create_task(commits())
    await asyncio.sleep(0)
    await end_tasks([task])
    assert ended.is_set()


async def test_what_has_ended_or_failed_is_no_trouble() -> None:
    async def fails() -> None:
        raise RuntimeError("told elsewhere")

    failed = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end_tasks([failed])
    assert isinstance(failed.exception(), RuntimeError)
    await end_tasks([])
