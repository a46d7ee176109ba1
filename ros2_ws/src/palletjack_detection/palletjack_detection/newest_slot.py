"""A queue of one, in which the newest item wins: a slow consumer never works on old frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A condition takes no wait without an end, as a rate of next to nothing would ask for.
LONGEST_WAIT_S = 3600.0


class NewestSlot(Generic[Item]):
    """Hands items from one thread to another; an item not yet taken is replaced by the next."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Leave ``item`` for the consumer; return whether an older item was thrown away for it."""
        with self._condition:
            replaced = self._item is not None
            self._item = item
            self._condition.notify()
            return replaced

    def take(self) -> Item | None:
        """Wait for an item and take it; None once the slot is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def wait_until(self, due: Callable[[], float]) -> bool:
        """Wait until ``due`` (of time.monotonic) while newer items replace older ones; False once closed.

        ``due`` is asked again whenever an item comes, and after ``wake``.
        """
        with self._condition:
            while not self._closed and (left := due() - time.monotonic()) > 0:
                self._condition.wait(min(left, LONGEST_WAIT_S))
            return not self._closed

    def wake(self) -> None:
        """Let ``wait_until`` ask again when it is due."""
        with self._condition:
            self._condition.notify_all()

    def close(self) -> None:
        """Wake the consumer for the last time; what still lies in the slot is dropped."""
        with self._condition:
            self._closed = True
            self._item = None
            self._condition.notify_all()
