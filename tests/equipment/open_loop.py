"""Ask a server at a fixed rate, whether or not it keeps up, and say how long each answer took. A program of its own.

A request's time counts from when it was due, not from when a connection was free, so that a server that stands still is
seen by every request that should have been asked meanwhile. Only the standard library: what asks must cost little.

    python open_loop.py PORT REQUESTS PER_SECOND < body.json > outcome.json
"""

import asyncio
import json
import sys
from collections import Counter

CONNECTIONS = 64


class Asker:
    """Keeps connections open and uses them in turn."""

    def __init__(self, port: int, body: bytes) -> None:
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        self._request = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._port = port
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()

    async def open(self) -> None:
        """Open the connections."""
        for _ in range(CONNECTIONS):
            self._free.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))

    async def ask(self, due: float) -> None:
        """Ask once."""
        connection = await self._free.get()
        reader, writer = connection
        try:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            status, *headers = head.decode().split("\r\n")
            length = next(int(line.split(":")[1]) for line in headers if line.lower().startswith("content-length:"))
            body = await reader.readexactly(length)
        except (OSError, EOFError, StopIteration, ValueError) as error:
            self.statuses[type(error).__name__] += 1
            connection = await asyncio.open_connection("127.0.0.1", self._port)
        else:
            self.statuses[status.split()[1]] += 1
            begin = body.find(b'"version":"') + 11
            self.versions[body[begin : body.find(b'"', begin)].decode() if begin > 10 else "none"] += 1
        self._free.put_nowait(connection)
        self.seconds.append(asyncio.get_running_loop().time() - due)


async def run(port: int, requests: int, per_second: float, body: bytes) -> Asker:
    """Ask so many times at a fixed rate."""
    asker = Asker(port, body)
    await asker.open()
    loop = asyncio.get_running_loop()
    begin, asked = loop.time() + 0.1, set()
    for number in range(requests):
        due = begin + number / per_second
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(asker.ask(due))
        asked.add(task)
        task.add_done_callback(asked.discard)
    await asyncio.gather(*asked)
    return asker


def main() -> int:
    """Ask as the arguments say."""
    port, requests, per_second = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    asker = asyncio.run(run(port, requests, per_second, sys.stdin.buffer.read()))
    found = {"seconds": asker.seconds, "statuses": asker.statuses, "versions": asker.versions}
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
