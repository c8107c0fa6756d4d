"""Clients: of requests at a constant rate, and of streams; what became of each."""

import asyncio
import threading
import time

RATE = 200  # requests per second
PATIENCE = 5.0  # seconds for one request
REQUEST = "{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n"


class _Client:
    """Something that goes on in a thread of its own inside of a `with`."""

    def __init__(self):
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()

    async def _run(self) -> None:
        raise NotImplementedError


class Requests(_Client):
    """Requests that are sent inside of a `with`, each on a connection of its own.

    They are sent at their time, whether the ones before were answered or not.
    """

    def __init__(self, host: str, port: int, method: str = "GET"):
        super().__init__()
        self._at = (host, port, method)
        self._sent: list[tuple[float, bool]] = []

    @staticmethod
    def one(host: str, port: int) -> bool:
        """Whether a single request is answered."""
        return asyncio.run(_is_answered(host, port))

    def n_sent(self) -> int:
        return len(self._sent)

    def n_failed(self) -> int:
        return sum(not answered for _, answered in self._sent)

    def span_of_failures(self) -> float:
        """Seconds from when the first request that failed was sent to when the last one was."""
        failed = [at for at, answered in self._sent if not answered]
        return max(failed) - min(failed) if failed else 0.0

    async def _run(self) -> None:
        begun, tasks = time.monotonic(), []
        while not self._ended.is_set():
            tasks.append(asyncio.create_task(self._one()))
            due = begun + len(tasks) / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*tasks)

    async def _one(self) -> None:
        at = time.monotonic()
        self._sent.append((at, await _is_answered(*self._at)))


class Streams(_Client):
    """Answers without an end that are read inside of a `with`."""

    def __init__(self, host: str, port: int, n: int):
        super().__init__()
        self._at = (host, port)
        self._n = n
        self._n_cut = 0

    def n_cut(self) -> int:
        """How many ended, or never began, before the end of the `with`."""
        return self._n_cut

    async def _run(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(self._n)))

    async def _one(self) -> None:
        try:
            reader, writer = await asyncio.open_connection(*self._at)
            writer.write(REQUEST.format(method="GET", path="/stream").encode())
            while await asyncio.wait_for(reader.read(4096), PATIENCE):
                if self._ended.is_set():
                    writer.close()
                    return
        except OSError:
            pass
        self._n_cut += 1


async def _is_answered(host: str, port: int, method: str = "GET") -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(REQUEST.format(method=method, path="/").encode())
                answer = await reader.read()
            finally:
                writer.close()
        return answer.startswith(b"HTTP/1.") and b" 200 " in answer.split(b"\r\n")[0]
    except OSError:
        return False
