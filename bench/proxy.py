"""A far away org: a TCP proxy with so many bytes per second and so much latency on each connection.

`python bench/proxy.py HOST:PORT --rate 25e6 --latency 0.1` prints its port and serves until it is ended. Half of the
latency is added on the way there, half on the way back, and once more for connecting.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

CHUNK = 1 << 17


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, rate: float) -> None:
    """Hand bytes on after `delay`, no faster than `rate`."""
    loop = asyncio.get_running_loop()
    # What is on its way holds as much as the wire would, and no more.
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(max(4, int(rate * delay / CHUNK) + 1))

    async def receive() -> None:
        while data := await reader.read(CHUNK):
            await under_way.put((loop.time() + delay, data))
        await under_way.put((loop.time() + delay, b""))

    async def send() -> None:
        free_at = 0.0
        while True:
            due, data = await under_way.get()
            at = max(due, free_at)
            free_at = at + len(data) / rate
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    with contextlib.suppress(ConnectionError):
        await asyncio.gather(receive(), send())


async def _serve(host: str, port: int, rate: float, latency: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(latency)  # the handshake
        up_reader, up_writer = await asyncio.open_connection(host, port, limit=CHUNK)
        there = _pump(reader, up_writer, latency / 2, rate)
        back = _pump(up_reader, writer, latency / 2, rate)
        await asyncio.gather(there, back)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=CHUNK)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def far_away(url: str, rate: float, latency: float) -> Iterator[str]:
    """The address by which an org is far away."""
    address = urlsplit(url).netloc
    command = [sys.executable, __file__, address, "--rate", str(rate), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, default=25e6, help="bytes per second and connection")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds, there and back")
    given = parser.parse_args()
    host, port = given.address.rsplit(":", 1)
    import uvloop  # noqa: PLC0415 - who only wants the address does not need it

    uvloop.run(_serve(host, int(port), given.rate, given.latency))


if __name__ == "__main__":
    main()
