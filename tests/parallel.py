"""Doing one thing in many threads at once, each with a database connection of its own."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def in_parallel(act: Callable[[T], Any], arguments: Iterable[T], *, seconds: float = 60.0) -> list[Any]:
    """``act`` for each argument, all let go at the same moment. Results in order; an exception is a result too."""
    given = list(arguments)
    results: list[Any] = [None] * len(given)
    gate = threading.Barrier(len(given))

    def one(number: int) -> None:
        from django.db import connection

        try:
            gate.wait(seconds)
            results[number] = act(given[number])
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[number], daemon=True) for number in range(len(given))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return results
