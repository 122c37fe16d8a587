"""The fake host itself, as a test handles it: facts, faults, reboot, and what people do to a host beside
us.
"""

import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal
from uuid import UUID, uuid4

from hypervisor import errors
from hypervisor.fake.store import Body, State, Store
from hypervisor.specs import EventKind, Power

_KILLED: Final = 137  # what a shell reports for SIGKILL
_POLL_SECONDS: Final = 0.02
_SIZE: Final = ("vcpus", "memory_mib", "max_vcpus", "max_memory_mib")
_FACTS: Final[Body] = {
    "cpus": 16,
    "memory_mib": 65536,
    "capacity_bytes": 1 << 40,
    "kvm": True,
    "obeys_acpi": True,
    "balloons": True,
    "lets_go": True,
    "reachable": True,
    "architectures": ["x86_64"],
    "uefi": ["x86_64"],
    "cpu_features": ["aes", "popcnt", "sse4.2"],
    "uplink": "eth0:ethernet",
    "snapshot_looks": 0,
    "hook": True,
    "listening": [22, 16514],
    "agent": True,
    "guest_exec": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, where, and how often (`times` None: until cleared).

    `before` is before the effect, `after` when the host has done it but the caller does not know. `hang` ends
    as `unreachable` after `seconds`, or at once when it is released; `kill` ends the calling process
    as SIGKILL does.
    """

    action: Literal["unreachable", "hang", "reject", "out-of-space", "out-of-memory", "kill"]
    method: str = "*"
    moment: Literal["before", "after"] = "before"
    times: int | None = 1
    seconds: float = 25.0


class FakeHost:
    """One host, kept in `directory`; every process that names the same directory and name has the same
    host.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.files = directory / name
        self.store = Store(directory / f"{name}.sqlite3")
        with self.store.transaction() as state:
            if state.get("host", "identity") is None:
                state.put("host", "identity", {"uuid": str(uuid4()), "boot_id": str(uuid4())})
                state.put("host", "facts", dict(_FACTS))

    # --- what the host is like
    def configure(self, **facts: object) -> None:
        """cpus, memory_mib, capacity_bytes, kvm (does it really boot), obeys_acpi, balloons, reachable,
        architectures, uefi, cpu_features (of guests), uplink (DEVICE:KIND, or nothing), snapshot_looks (before one is
        finished), hook (do port forwards work), listening (TCP ports), lets_go (do guests give a device back when
        asked), agent (does a guest's agent answer), guest_exec (may it run commands).
        """
        unknown = facts.keys() - _FACTS.keys()
        if unknown:
            raise ValueError(f"a fake host has no {unknown}")
        with self.store.transaction() as state:
            state.put("host", "facts", (state.get("host", "facts") or {}) | facts)

    def unplug(self) -> None:
        self.configure(reachable=False)

    def plug(self) -> None:
        self.configure(reachable=True)

    def reboot(self) -> None:
        """Every guest is off afterwards, without an event: nobody was listening."""
        with self.store.transaction() as state:
            identity = state.get("host", "identity") or {}
            state.put("host", "identity", identity | {"boot_id": str(uuid4())})
            for key, domain in state.all("domain").items():
                state.put("domain", key, domain | {"power": Power.SHUTOFF, "reason": "unknown", "live_disks": {}})

    def password_in(self, uuid: UUID) -> Body | None:
        """What the agent of a guest was given: user, password, and whether it has to be changed."""
        with self.store.transaction() as state:
            return state.get("passwords", str(uuid))

    # --- what happens beside us
    def add_foreign_domain(self, name: str, *, vcpus: int = 1, memory_mib: int = 512) -> UUID:
        """A guest somebody made with virsh."""
        uuid = uuid4()
        body: Body = {"name": name, "title": "", "vcpus": vcpus, "memory_mib": memory_mib}
        body |= {"installation": None, "fence": None, "disk_paths": [], "disks": {}, "macs": [], "networks": []}
        body |= {"power": Power.RUNNING, "reason": "booted", "autostart": False}
        with self.store.transaction() as state:
            state.put("domain", str(uuid), body)
            state.record({"kind": EventKind.DEFINED, "detail": "added", "uuid": uuid, "name": name})
        return uuid

    def stop_domain(self, uuid: UUID, *, reason: str = "shutdown") -> None:
        """As the guest itself does (`shutdown`), as `virsh destroy` does (`destroyed`), or as a crash does
        (`crashed`).
        """
        with self.store.transaction() as state:
            set_power(state, uuid, Power.SHUTOFF, reason, EventKind.STOPPED, reason)

    def start_domain(self, uuid: UUID) -> None:
        with self.store.transaction() as state:
            domain = state.get("domain", str(uuid)) or {}
            state.put("domain", str(uuid), domain | {"live": {key: domain.get(key) for key in _SIZE}})
            set_power(state, uuid, Power.RUNNING, "booted", EventKind.STARTED, "booted")

    def remove_domain(self, uuid: UUID) -> None:
        """As `virsh destroy` and `virsh undefine` do."""
        with self.store.transaction() as state:
            domain = state.get("domain", str(uuid)) or {}
            state.remove("domain", str(uuid))
            event = {
                "kind": EventKind.UNDEFINED,
                "detail": "removed",
                "uuid": uuid,
                "name": domain.get("name"),
            }
            state.record(event)

    # --- faults
    def inject(self, fault: Fault) -> None:
        with self.store.transaction() as state:
            state.put_fault(asdict(fault))

    def faults_left(self) -> int:
        """How many injected faults still wait for their moment."""
        with self.store.transaction() as state:
            return len(state.faults())

    def clear_faults(self) -> None:
        with self.store.transaction() as state:
            state.remove_fault()

    def strike(self, method: str, moment: Literal["before", "after"]) -> None:
        """Do what was injected for this point, if anything. A fault is used up before it acts."""
        with self.store.transaction() as state:
            if not (state.get("host", "facts") or {})["reachable"]:
                raise errors.HostUnreachable("the fake host is unplugged")
            fault = _take(state, method, moment)
        if fault is None:
            return
        if fault["action"] == "kill":
            os._exit(_KILLED)
        if fault["action"] == "hang":
            self._hang(float(fault["seconds"]))
        raise _ERRORS[fault["action"]](f"injected {moment} {method}")

    def _hang(self, seconds: float) -> None:
        """Until `release`; other calls are served meanwhile."""
        pause, deadline = threading.Event(), time.monotonic() + seconds
        with self.store.transaction() as state:
            state.put("host", "hanging", {"released": False})
        while time.monotonic() < deadline and not pause.wait(_POLL_SECONDS):
            with self.store.transaction() as state:
                if (state.get("host", "hanging") or {}).get("released"):
                    return

    def release(self) -> None:
        """Let every call that hangs fail now."""
        with self.store.transaction() as state:
            state.put("host", "hanging", {"released": True})


_ERRORS: Final[dict[str, type[errors.HypervisorError]]] = {
    "unreachable": errors.HostUnreachable,
    "hang": errors.HostUnreachable,
    "reject": errors.Rejected,
    "out-of-space": errors.OutOfSpace,
    "out-of-memory": errors.OutOfMemory,
}


def _take(state: State, method: str, moment: str) -> Body | None:
    for number, fault in state.faults():
        if fault["method"] in ("*", method) and fault["moment"] == moment:
            if fault["times"] is not None:
                fault["times"] -= 1
                if fault["times"] <= 0:
                    state.remove_fault(number)
                else:
                    state.put_fault(fault, number)
            return fault
    return None


def set_power(state: State, uuid: UUID, power: Power, reason: str, kind: EventKind, detail: str) -> None:
    domain = state.get("domain", str(uuid))
    if domain is None:
        raise errors.NotFound(f"no domain {uuid}")
    if power not in (Power.RUNNING, Power.PAUSED):
        domain["live_disks"] = {}
    elif domain["power"] not in (Power.RUNNING, Power.PAUSED):
        domain["live_disks"] = domain.get("disks", {})
    state.put("domain", str(uuid), domain | {"power": power, "reason": reason})
    state.record({"kind": kind, "detail": detail, "uuid": uuid, "name": domain["name"]})
