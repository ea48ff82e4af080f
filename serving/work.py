"""Models answer in threads, so that the loop goes on; how many may be under way is bounded. Edge."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pegel.serving.refusal import Reason, Refusal, RefusedError


class Work:
    """The threads in which models are asked. To be used in the loop.

    Args:
        workers: how many answers are made at the same time.
        max_under_way: how many requests are answered or wait for a thread; one more is refused.
    """

    def __init__(self, workers: int, max_under_way: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="answer")
        self._max = max_under_way
        self._under_way = 0

    def check(self, waiting: int = 0) -> None:
        """See that one more may begin.

        Args:
            waiting: how many wait for something else already.

        Raises:
            RefusedError: 503 if too many are under way.
        """
        if self._under_way + waiting >= self._max:
            detail = f"{self._under_way + waiting} requests are under way, and no more are taken; come again"
            raise RefusedError(Refusal(503, Reason.BUSY.value, detail, retry_after_s=1.0))

    def begin(self, task: Callable[[], None]) -> asyncio.Future[None]:
        """Do a task in a thread. It goes on when nobody waits for it any more, and counts until it has ended.

        Raises:
            RefusedError: 503 if too many are under way.
        """
        self.check()
        future = asyncio.get_running_loop().run_in_executor(self._pool, task)
        self._under_way += 1
        future.add_done_callback(self._ended)
        return future

    def close(self) -> None:
        """Take no more; what is under way goes on, and what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self, future: asyncio.Future[None]) -> None:
        self._under_way -= 1
        if not future.cancelled():
            future.exception()


async def within(future: asyncio.Future[None], seconds: float) -> bool:
    """Wait for a task, but no longer than so many seconds.

    Returns:
        whether it has ended; if not, it goes on.
    """
    done, _ = await asyncio.wait([future], timeout=seconds)
    if done:
        future.result()
    return bool(done)
