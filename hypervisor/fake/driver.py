"""A connection to a fake host."""

import socket
from collections.abc import Callable, Collection
from typing import BinaryIO, Literal, TypeVar
from uuid import UUID

from hypervisor.errors import NotFound
from hypervisor.fake import agent, console, copies, disks, domains, forwards, networks, snapshots, storage
from hypervisor.fake.host import FakeHost
from hypervisor.fake.store import State
from hypervisor.fake.watch import FakeWatch
from hypervisor.interface import SerialConsole, Subscription
from hypervisor.specs import (
    Accelerator,
    AcceleratorProof,
    AddressSource,
    Button,
    CopyProgress,
    DhcpReservation,
    DiskSpec,
    DiskState,
    DomainMetadata,
    DomainSpec,
    DomainState,
    DomainSummary,
    Forwarding,
    GuestAddress,
    HostEvent,
    HostFacts,
    LanSpec,
    Lease,
    NetworkSpec,
    NicSpec,
    PoolInfo,
    PoolSpec,
    PortForward,
    Screenshot,
    SnapshotSpec,
    SnapshotState,
    Subnet,
    Uplink,
    VolumeInfo,
    VolumeSpec,
)

T = TypeVar("T")


class FakeHypervisor:
    """The host as one installation sees it. Every method is one transaction between two fault points."""

    def __init__(self, host: FakeHost, installation: str) -> None:
        self._host = host
        self._us = installation

    def _do(self, method: str, act: Callable[[State], T]) -> T:
        self._host.strike(method, "before")
        with self._host.store.transaction() as state:
            result = act(state)
        self._host.strike(method, "after")
        return result

    # --- the host
    def facts(self) -> HostFacts:
        return self._do("facts", self._read_facts)

    def boot_id(self) -> UUID:
        return self._do("boot_id", lambda state: UUID((state.get("host", "identity") or {})["boot_id"]))

    def _read_facts(self, state: State) -> HostFacts:
        identity, facts = state.get("host", "identity") or {}, state.get("host", "facts") or {}
        return HostFacts(
            hostname=self._host.name,
            host_uuid=UUID(identity["uuid"]),
            boot_id=UUID(identity["boot_id"]),
            cpus=facts["cpus"],
            cpu_model="Fake",
            memory_mib=facts["memory_mib"],
            libvirt_version="9.0.0",
            qemu_version="7.2.0",
            architectures=tuple(facts["architectures"]),
            kvm_advertised=True,
            uefi=tuple(facts["uefi"]),
            cpu_features={"kvm": tuple(facts["cpu_features"]), "tcg": tuple(facts["cpu_features"])},
        )

    def prove_accelerator(
        self, *, pool: str, kernel: str, initrd: str, kind: Accelerator, timeout: float = 20.0
    ) -> AcceleratorProof:
        def prove(state: State) -> AcceleratorProof:
            for name in (kernel, initrd):
                if storage.volume(state, pool, name) is None:
                    raise NotFound(f"no volume {name} in pool {pool}")
            works = kind == "tcg" or bool((state.get("host", "facts") or {})["kvm"])
            detail = "a Linux kernel booted" if works else f"no Linux kernel booted within {timeout:.0f} s"
            return AcceleratorProof(works=works, seconds=0.1, detail=detail)

        return self._do("prove_accelerator", prove)

    def used_subnets(self) -> frozenset[Subnet]:
        return self._do("used_subnets", networks.subnets)

    def uplink(self) -> Uplink | None:
        def read(state: State) -> Uplink | None:
            device, _, kind = str((state.get("host", "facts") or {})["uplink"]).partition(":")
            return Uplink(device=device, kind=kind) if device else None  # type: ignore[arg-type]  # as configured

        return self._do("uplink", read)

    # --- storage
    def ensure_pool(self, spec: PoolSpec) -> PoolInfo:
        return self._do("ensure_pool", lambda state: storage.ensure_pool(state, spec))

    def volumes(self, pool: str) -> list[VolumeInfo]:
        return self._do("volumes", lambda state: storage.volumes(state, pool))

    def volume(self, pool: str, name: str) -> VolumeInfo | None:
        return self._do("volume", lambda state: storage.volume(state, pool, name))

    def ensure_volume(self, spec: VolumeSpec) -> VolumeInfo:
        return self._do("ensure_volume", lambda state: storage.ensure_volume(state, spec))

    def upload(self, *, pool: str, name: str, source: BinaryIO, offset: int, length: int, seconds: float = 20.0) -> int:
        def send(state: State) -> int:
            return storage.upload(
                state,
                self._host.files,
                pool=pool,
                name=name,
                source=source,
                offset=offset,
                length=length,
                seconds=seconds,
            )

        return self._do("upload", send)

    def download(
        self, *, pool: str, name: str, target: BinaryIO, offset: int, seconds: float = 20.0
    ) -> tuple[int, bool]:
        def fetch(state: State) -> tuple[int, bool]:
            files = self._host.files
            return storage.download(state, files, pool=pool, name=name, target=target, offset=offset, seconds=seconds)

        return self._do("download", fetch)

    def dependents(self, pool: str, name: str) -> list[str]:
        return self._do("dependents", lambda state: storage.dependents(state, pool, name))

    def remove_volume(self, pool: str, name: str) -> None:
        self._do("remove_volume", lambda state: storage.remove_volume(state, self._host.files, pool, name))

    def copy_volume(self, *, source: DiskSpec, target: VolumeSpec) -> CopyProgress:
        return self._do("copy_volume", lambda state: copies.copy(state, self._host.files, source, target))

    def stop_copy(self, pool: str, name: str) -> None:
        self._do("stop_copy", lambda state: copies.stop(state, self._host.files, pool, name))

    # --- networks
    def ensure_network(self, spec: NetworkSpec | LanSpec) -> None:
        self._do("ensure_network", lambda state: networks.ensure(state, self._us, spec))

    def remove_network(self, name: str) -> None:
        self._do("remove_network", lambda state: networks.remove(state, self._us, name))

    def ensure_reservation(self, network: str, reservation: DhcpReservation) -> None:
        self._do(
            "ensure_reservation",
            lambda state: networks.ensure_reservation(state, self._us, network, reservation),
        )

    def remove_reservation(self, network: str, mac: str) -> None:
        self._do("remove_reservation", lambda state: networks.remove_reservation(state, self._us, network, mac))

    def leases(self, network: str) -> list[Lease]:
        return self._do("leases", lambda state: networks.leases(state, network))

    def release_lease(self, network: str, mac: str) -> None:
        self._do(
            "release_lease", lambda state: networks.ours(state, self._us, network)
        )  # guests that are off have none

    def forwarding(self) -> Forwarding | None:
        return self._do("forwarding", forwards.forwarding)

    def ensure_forward(self, network: str, forward: PortForward) -> None:
        self._do("ensure_forward", lambda state: forwards.ensure(state, self._us, network, forward))

    def remove_forward(self, network: str, protocol: Literal["tcp", "udp"], host_port: int) -> None:
        self._do("remove_forward", lambda state: forwards.remove(state, self._us, network, protocol, host_port))

    # --- consoles
    def open_console(self, uuid: UUID, sink: Callable[[bytes], None]) -> SerialConsole:
        def begin(state: State) -> console.FakeConsole:
            domains.require_up(state, self._us, uuid)
            return console.FakeConsole(self._host, state, uuid, sink)

        return self._do("open_console", begin)

    def open_screen(self, uuid: UUID) -> socket.socket:
        self._do("open_screen", lambda state: domains.require_up(state, self._us, uuid))
        return console.open_screen()

    def screenshot(self, uuid: UUID) -> Screenshot:
        self._do("screenshot", lambda state: domains.require_up(state, self._us, uuid))
        return console.screenshot()

    # --- the guest agent
    def set_password(self, uuid: UUID, user: str, password: str) -> None:
        self._do("set_password", lambda state: agent.set_password(state, self._us, uuid, user, password))

    def expire_password(self, uuid: UUID, user: str) -> bool:
        return self._do("expire_password", lambda state: agent.expire_password(state, self._us, uuid, user))

    # --- domains
    def ensure_defined(self, spec: DomainSpec) -> None:
        self._do("ensure_defined", lambda state: domains.ensure_defined(state, self._us, spec))

    def ensure_running(self, uuid: UUID) -> None:
        self._do("ensure_running", lambda state: domains.ensure_running(state, self._us, uuid))

    def set_paused(self, uuid: UUID, *, paused: bool) -> None:
        self._do("set_paused", lambda state: domains.set_paused(state, self._us, uuid, paused=paused))

    def set_live_size(self, uuid: UUID, *, vcpus: int, memory_mib: int) -> None:
        def resize(state: State) -> None:
            domains.set_live_size(state, self._us, uuid, vcpus=vcpus, memory_mib=memory_mib)

        self._do("set_live_size", resize)

    def power_off(self, uuid: UUID) -> None:
        self._do("power_off", lambda state: domains.power_off(state, self._us, uuid))

    def press(self, uuid: UUID, button: Button) -> None:
        self._do("press", lambda state: domains.press(state, self._us, uuid, button))

    def eject(self, uuid: UUID, pool: str, volume: str) -> None:
        self._do("eject", lambda state: domains.eject(state, self._us, uuid, pool, volume))

    def undefine(self, uuid: UUID) -> None:
        def undefine(state: State) -> None:
            domains.undefine(state, self._us, uuid)
            snapshots.forget(state, uuid)

        self._do("undefine", undefine)

    def ensure_nic(self, uuid: UUID, nic: NicSpec) -> None:
        self._do("ensure_nic", lambda state: domains.ensure_nic(state, self._us, uuid, nic))

    def remove_nic(self, uuid: UUID, mac: str) -> bool:
        return self._do("remove_nic", lambda state: domains.remove_nic(state, self._us, uuid, mac))

    def domains(self) -> list[DomainSummary]:
        return self._do("domains", domains.summaries)

    def describe(self, uuids: Collection[UUID]) -> dict[UUID, DomainState]:
        return self._do("describe", lambda state: domains.describe(state, uuids))

    def domain(self, uuid: UUID) -> DomainState | None:
        return self._do("domain", lambda state: domains.describe_one(state, uuid))

    def addresses(self, uuid: UUID, *, sources: tuple[AddressSource, ...] = ("lease", "arp")) -> list[GuestAddress]:
        found = self._do("addresses", lambda state: domains.addresses(state, uuid))
        return [address for address in found if address.source in sources]

    # --- snapshots of a domain
    def snapshots(self, uuids: Collection[UUID]) -> dict[UUID, list[SnapshotState]]:
        def read(state: State) -> dict[UUID, list[SnapshotState]]:
            states = {uuid: snapshots.states(state, uuid) for uuid in uuids}
            return {uuid: found for uuid, found in states.items() if found is not None}

        return self._do("snapshots", read)

    def create_snapshot(self, uuid: UUID, spec: SnapshotSpec, *, seconds: float = 15.0) -> bool:
        return self._do("create_snapshot", lambda state: snapshots.create(state, self._us, uuid, spec))

    def revert_snapshot(self, uuid: UUID, name: str, *, seconds: float = 15.0) -> bool:
        return self._do("revert_snapshot", lambda state: snapshots.revert(state, self._us, uuid, name))

    def remove_snapshot(self, uuid: UUID, name: str, *, seconds: float = 15.0) -> bool:
        return self._do("remove_snapshot", lambda state: snapshots.remove(state, self._us, uuid, name))

    # --- disks of a domain
    def disks(self, uuid: UUID) -> list[DiskState]:
        return self._do("disks", lambda state: disks.states(state, uuid))

    def attach_disk(self, uuid: UUID, disk: DiskSpec, metadata: DomainMetadata) -> None:
        self._do("attach_disk", lambda state: disks.attach(state, self._us, uuid, disk, metadata))

    def detach_disk(self, uuid: UUID, disk: DiskSpec, metadata: DomainMetadata) -> bool:
        return self._do("detach_disk", lambda state: disks.detach(state, self._us, uuid, disk, metadata))

    def grow_disk(self, uuid: UUID, disk: DiskSpec, capacity_bytes: int) -> bool:
        return self._do("grow_disk", lambda state: disks.grow(state, self._us, uuid, disk, capacity_bytes))

    def limit_disk(self, uuid: UUID, disk: DiskSpec) -> None:
        self._do("limit_disk", lambda state: disks.limit(state, self._us, uuid, disk))

    # --- the connection
    def watch(self, sink: Callable[[HostEvent], None]) -> Subscription:
        self._host.strike("watch", "before")
        return FakeWatch(self._host, sink)

    def is_alive(self) -> bool:
        with self._host.store.transaction() as state:
            return bool((state.get("host", "facts") or {})["reachable"])

    def close(self) -> None:
        """There is nothing to let go of."""
