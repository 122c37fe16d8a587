"""Threads for what blocks: PostgreSQL and hosts apart, so that a host that hangs holds up no check of rights."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from django.db import close_old_connections, connection

T = TypeVar("T")
_DATABASE: Final = ThreadPoolExecutor(4, thread_name_prefix="console-database")
_HOSTS: Final = ThreadPoolExecutor(32, thread_name_prefix="console-hosts")


async def in_database(call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_DATABASE, with_connection, call)


async def on_host(call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_HOSTS, with_connection, call)


def with_connection(call: Callable[[], T]) -> T:
    """The connection goes back to the pool after each call."""
    close_old_connections()
    try:
        return call()
    finally:
        connection.close()
