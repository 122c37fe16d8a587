"""The lab: N hosts, the bridge that joins them, the outside; started, found again, taken away whole."""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Self

from lab import bridge, mounts
from lab.addresses import Plan, free_plan
from lab.errors import LabError
from lab.host import Host
from lab.identity import Identity
from lab.outside import Outside
from lab.process import wait_until

STATE_BASE = Path("/run")
DISK_BASE = Path("/var/tmp")  # noqa: S108 - a real disk, in a directory of our own with mode 0700
NAME = "cloudsite-lab"
PREFIX = re.compile(r"[a-z][a-z0-9]{0,9}")
LOCK_SECONDS = 60


class Lab:
    """N libvirt hosts as a context manager; see the package for what a host is.

    `prefix` (at most ten letters and digits) tells labs on the same machine apart. With `owned`, the
    default, the lab belongs to this process: when it is killed, the next lab that starts on the machine
    takes the leftovers away. Not owned, it stays until `down`.
    """

    def __init__(
        self,
        *,
        prefix: str = "lab",
        hosts: int = 2,
        owned: bool = True,
        state_base: Path = STATE_BASE,
        disk_base: Path = DISK_BASE,
    ) -> None:
        if PREFIX.fullmatch(prefix) is None:
            raise LabError(f"{prefix!r} is not a prefix: a letter, then at most nine letters or digits")
        self.prefix = prefix
        self.count = hosts
        self.owned = owned
        self.state_base = state_base
        self.state_dir = state_base / f"{NAME}-{prefix}"
        self.disk_dir = disk_base / f"{NAME}-{prefix}"
        self.hosts: Sequence[Host] = ()
        self._outside: Outside | None = None

    @property
    def outside(self) -> Outside:
        """The namespace that plays the internet."""
        if self._outside is None:
            raise LabError(f"lab {self.prefix} is not up")
        return self._outside

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        """Start everything; what an earlier lab of this prefix or of a dead owner left is removed first."""
        if os.geteuid() != 0:
            raise LabError("the lab needs root: it creates namespaces and network interfaces")
        with _machine_lock(self.state_base):
            sweep(self.state_base, self.disk_dir.parent)
            self.down()
            self.state_dir.mkdir(mode=0o700)
            if self.owned:
                Identity.of(os.getpid()).save(self.state_dir / "owner.pid")
            plan = free_plan()
            self._save(plan)
            bridge.create_bridge(self._bridge, address=plan.machine, network=plan.network)
        try:
            self._start()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Take everything away: processes, interfaces, directories. Nothing there is fine."""
        self.attach()
        for host in self.hosts:
            host.power_off()
        if self._outside is not None:
            self._outside.stop()
        bridge.remove_link(self._bridge)
        self.hosts, self._outside = (), None
        for directory in (self.state_dir, self.disk_dir):
            mounts.refuse_if_mounted(directory)
            shutil.rmtree(directory, ignore_errors=True)

    def attach(self) -> bool:
        """Take up a lab that is already there; False if there is none."""
        try:
            saved = json.loads((self.state_dir / "lab.json").read_text())
        except FileNotFoundError:
            return False
        self.count = saved["hosts"]
        self._build(Plan(network=IPv4Network(saved["network"])), password=saved["password"])
        return True

    @property
    def _bridge(self) -> str:
        return f"{self.prefix}-br"

    def _save(self, plan: Plan) -> None:
        password = secrets.token_urlsafe(12)
        saved = {"hosts": self.count, "network": str(plan.network), "password": password}
        path = self.state_dir / "lab.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(saved))
        self._build(plan, password=password)

    def _build(self, plan: Plan, *, password: str) -> None:
        bits = plan.network.prefixlen
        names = {f"{self.prefix}-h{index + 1}": str(plan.host(index)) for index in range(self.count)}
        self.hosts = tuple(
            Host(
                name=name,
                address=address,
                netmask_bits=bits,
                gateway=str(plan.outside),
                bridge=self._bridge,
                cable=name,
                password=password,
                state_dir=self.state_dir / f"h{index}",
                disk_dir=self.disk_dir / f"h{index}",
            )
            for index, (name, address) in enumerate(names.items(), start=1)
        )
        self._outside = Outside(
            address=str(plan.outside),
            netmask_bits=bits,
            bridge=self._bridge,
            cable=f"{self.prefix}-out",
            state_dir=self.state_dir / "outside",
            hosts=names,
        )

    def _start(self) -> None:
        self.disk_dir.mkdir(mode=0o700)
        self.outside.begin_start()
        names = {host.name: host.address for host in self.hosts}
        for host in self.hosts:
            host.disk.create(name=host.name, names=names, nameserver=self.outside.service, password=host.password)
            host.begin_start()
        for host in self.hosts:
            host.wait_ready()
        self.outside.wait_ready()


def sweep(state_base: Path = STATE_BASE, disk_base: Path = DISK_BASE) -> list[str]:
    """Take away every lab whose owner has died without doing so; returns their prefixes."""
    swept = []
    for state in sorted(state_base.glob(f"{NAME}-*")):
        prefix = state.name.removeprefix(f"{NAME}-")
        owner = Identity.load(state / "owner.pid")
        if owner is None or owner.alive() or PREFIX.fullmatch(prefix) is None:
            continue
        Lab(prefix=prefix, state_base=state_base, disk_base=disk_base).down()
        swept.append(prefix)
    return swept


@contextlib.contextmanager
def _machine_lock(state_base: Path) -> Iterator[None]:
    """One lab at a time chooses its addresses; the kernel gives the lock back when its holder dies."""

    def free() -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    with (state_base / f"{NAME}.lock").open("w") as handle:
        wait_until(free, timeout=LOCK_SECONDS, what="the end of another lab's start")
        yield
