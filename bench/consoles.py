"""Fifty serial consoles open at once through the web port: how long a line takes to come back from its guest."""

import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from bench.figures import Line, Result, Sample
from bench.surroundings import Say, Surroundings

MEMORY_MIB = 96
AT_ONCE = 4  # guests that boot; the control plane has its processors from the same machine
PROMPT_SECONDS = 120.0
ANSWER_SECONDS = 30.0


class Console:
    """A serial console, signed in to its guest."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.shown = b""

    def read_until(self, wanted: bytes, *, seconds: float, begin: int = 0) -> None:
        """What is shown, from a place on, until it holds this. TimeoutError: it did not come."""
        end = time.monotonic() + seconds
        while wanted not in self.shown[begin:]:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no {wanted!r} within {seconds:.0f} s; at the end {self.shown[-200:]!r}")
            frame = self.connection.recv(timeout=left)
            if isinstance(frame, bytes):
                self.shown += frame

    def sign_in(self) -> None:
        self.connection.send(b"\n")
        self.read_until(b"login:", seconds=PROMPT_SECONDS)
        self.connection.send(b"root\n")
        self.read_until(b"# ", seconds=PROMPT_SECONDS)

    def find_shell(self) -> None:
        """The shell of a guest where somebody signed in before."""
        self.connection.send(b"\n")
        self.read_until(b"# ", seconds=PROMPT_SECONDS)

    def answer(self) -> float:
        """Seconds until the guest's shell has computed and shown something it was asked for."""
        left, right, begin = secrets.randbelow(10**6), secrets.randbelow(10**6), len(self.shown)
        asked = time.perf_counter()
        self.connection.send(f"echo $(({left} + {right})).\n".encode())
        self.read_until(f"{left + right}.".encode(), seconds=ANSWER_SECONDS, begin=begin)
        return time.perf_counter() - asked


@contextmanager
def opened(around: Surroundings, vm: dict[str, Any]) -> Iterator[Console]:
    cloud = around.cloud
    ticket = cloud.call("POST", f"vms/{vm['id']}/console/", expect=201, json={"kind": "serial"})
    url = cloud.url.replace("http", "ws", 1) + ticket["path"]
    protocols: Any = ["cloudsite.console.v1", f"ticket.{ticket['ticket']}"]
    headers = {"Authorization": f"Bearer {cloud.token.value}"}
    with connect(url, subprotocols=protocols, origin=None, additional_headers=headers, compression=None) as connection:
        yield Console(connection)


def measure(around: Surroundings, *, consoles: int, lines: int, say: Say) -> Result:
    """One console alone, then all of them, each asking again as soon as it was answered."""
    say(f"starting {consoles} guests, and signing in to each of them")
    with ExitStack() as stack, ThreadPoolExecutor(consoles) as pool:
        vms = _guests(around, consoles)
        around.cloud.sign_in()
        everybody = [stack.enter_context(opened(around, vm)) for vm in vms]
        list(pool.map(Console.find_shell, everybody))
        say("one console alone")
        alone = [everybody[0].answer() for _ in range(lines)]
        say("all at once")
        together = list(pool.map(lambda console: [console.answer() for _ in range(lines)], everybody))
        _still_open(everybody)
    say("deleting the guests")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(around.cloud.delete, vms))
    one, all_of_them = Sample(alone), Sample([seconds for answers in together for seconds in answers])
    return Result(
        lines=[
            Line(
                work=f"a line through {consoles} serial consoles at once",
                ours=all_of_them.tail(),
                peer=f"one console alone {one.tail()}",
                ratio=f"{all_of_them.median / one.median:.1f}",
            )
        ],
        notes=["Consoles: typed line to its shown answer; the shells of all guests compute on the same processors."],
        checked=[f"Consoles: {consoles * lines} lines were answered, all rightly; each console was open to the end."],
    )


def _guests(around: Surroundings, number: int) -> list[dict[str, Any]]:
    """Guests that have booted, each with a shell on its console. The next one boots when one of them has."""

    def start(index: int) -> dict[str, Any]:
        vm = around.cloud.create(f"console-{index}", memory_mib=MEMORY_MIB, seconds=300)
        with opened(around, vm) as console:
            console.sign_in()
        return vm

    around.cloud.call("PATCH", f"hosts/{around.host['id']}/", expect=200, json={"vcpu_ratio": float(number)})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(start, range(number)))


def _still_open(consoles: Sequence[Console]) -> None:
    try:
        for console in consoles:
            console.connection.ping().wait(ANSWER_SECONDS)
    except WebSocketException as error:
        raise RuntimeError("a console was closed while others were used") from error
