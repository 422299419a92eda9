"""A network between browser and server that is as slow as a phone's: a TCP proxy on loopback.

What Chromium's own emulation slows down leaves out what a page has it fetch ahead.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

CHUNK = 4096


@dataclass(frozen=True)
class Network:
    """Bits a second to the browser and from it, and the seconds of a way there and back."""

    name: str
    down: float
    up: float
    round_trip: float


@contextmanager
def slow_link(port: int, network: Network) -> Iterator[int]:
    """Yield a port of this machine that leads to `port` over the network, by a process of its own.

    Playwright has the one loop that its thread may have.
    """
    given = [port, network.down, network.up, network.round_trip]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.slow_link", *map(str, given)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


class _Direction:
    """What all connections share in one direction: one link, on which bytes wait for each other."""

    def __init__(self, bits: float, delay: float) -> None:
        self.seconds_a_byte = 8 / bits
        self.delay = delay
        self.free_at = 0.0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Bring what is read to the other side, each byte when it would be there."""
        loop = asyncio.get_running_loop()
        # A bound on what is under way; else the server could never feel that the link is slow.
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(16)

        async def arrive() -> None:
            data = b"first"
            while data:
                at, data = await under_way.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                if data and not writer.is_closing():
                    writer.write(data)
            writer.close()

        arriving = asyncio.create_task(arrive())
        data = b"first"
        while data:
            data = b""
            with suppress(ConnectionError):
                data = await reader.read(CHUNK)
            self.free_at = max(self.free_at, loop.time()) + len(data) * self.seconds_a_byte
            await under_way.put((self.free_at + self.delay, data))
        await arriving


async def _serve(port: int, network: Network) -> None:
    down = _Direction(network.down, network.round_trip / 2)
    up = _Direction(network.up, network.round_trip / 2)

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The handshake takes a way there and back before the first byte.
        await asyncio.sleep(network.round_trip)
        there, here = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(up.carry(reader, here), down.carry(there, writer))

    server = await asyncio.start_server(join, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Network("given", *map(float, sys.argv[2:]))))
