"""The Hypervisor interface over libvirt: each method is one bounded call on the host's connection."""

import socket
from collections.abc import Callable, Collection
from typing import BinaryIO, Literal, TypeVar
from uuid import UUID

import libvirt

from hypervisor import dhcp_release, routes
from hypervisor.interface import SerialConsole, Subscription
from hypervisor.libvirt_driver import agent, facts, forwards, interfaces, probe, screen
from hypervisor.libvirt_driver.connection import Connection
from hypervisor.libvirt_driver.console import LibvirtConsole
from hypervisor.libvirt_driver.copies import Copies
from hypervisor.libvirt_driver.disks import Disks
from hypervisor.libvirt_driver.domains import Domains
from hypervisor.libvirt_driver.networks import Networks
from hypervisor.libvirt_driver.snapshots import Snapshots
from hypervisor.libvirt_driver.storage import Storage
from hypervisor.libvirt_driver.watch import Watch
from hypervisor.specs import (
    Accelerator,
    AcceleratorProof,
    AddressSource,
    Button,
    ConnectionSettings,
    CopyProgress,
    DhcpReservation,
    DirectBoot,
    DiskSpec,
    DiskState,
    DomainMetadata,
    DomainSpec,
    DomainState,
    DomainSummary,
    Forwarding,
    GuestAddress,
    HostAddress,
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
from hypervisor.uri import connection_uri

T = TypeVar("T")
# A guest that only has to boot needs no self-tests and no guard against other programs: an emulated one is quicker.
PROBE_COMMAND_LINE = "console=ttyS0 quiet panic=-1 cryptomgr.notests mitigations=off nokaslr"


class LibvirtHypervisor:
    """`uri` and `domain_type` are for libvirt's own test driver; they are never user text."""

    def __init__(
        self,
        address: HostAddress,
        settings: ConnectionSettings,
        installation: str,
        *,
        uri: str | None = None,
        domain_type: str | None = None,
    ) -> None:
        self._address = address
        self._settings = settings
        self._installation = installation
        self._domain_type = domain_type
        self._connection = Connection(address, uri or connection_uri(address, settings), settings)

    # --- the nouns on an open connection
    def _storage(self, virt: libvirt.virConnect) -> Storage:
        return Storage(virt, self._connection.pool_paths)

    def _copies(self, virt: libvirt.virConnect) -> Copies:
        return Copies(virt, self._storage(virt), self._installation)

    def _networks(self, virt: libvirt.virConnect) -> Networks:
        return Networks(virt, self._installation)

    def _domains(self, virt: libvirt.virConnect) -> Domains:
        return Domains(
            virt,
            installation=self._installation,
            path_of=self._storage(virt).path_of,
            domain_type=self._domain_type,
        )

    def _on_storage(self, name: str, call: Callable[[Storage], T], seconds: float | None = None) -> T:
        return self._connection.run(name, lambda virt: call(self._storage(virt)), seconds=seconds)

    def _on_networks(self, name: str, call: Callable[[Networks], T]) -> T:
        return self._connection.run(name, lambda virt: call(self._networks(virt)))

    def _on_domains(self, name: str, call: Callable[[Domains], T], *, repeat: bool = True) -> T:
        return self._connection.run(name, lambda virt: call(self._domains(virt)), repeat=repeat)

    # --- the host
    def facts(self) -> HostFacts:
        return self._connection.run("facts", facts.read_facts)

    def boot_id(self) -> UUID:
        return self._connection.run("boot_id", facts.boot_id)

    def prove_accelerator(
        self, *, pool: str, kernel: str, initrd: str, kind: Accelerator, timeout: float = 20.0
    ) -> AcceleratorProof:
        boot = DirectBoot(pool=pool, kernel=kernel, initrd=initrd, command_line=PROBE_COMMAND_LINE)

        def ask(virt: libvirt.virConnect) -> AcceleratorProof:
            storage = self._storage(virt)
            storage.require_volume(pool, kernel)
            storage.require_volume(pool, initrd)
            return probe.prove(
                virt, storage.path_of, installation=self._installation, boot=boot, kind=kind, timeout=timeout
            )

        seconds = timeout + self._settings.call_timeout
        return self._connection.run("prove_accelerator", ask, seconds=seconds, repeat=False)

    def used_subnets(self) -> frozenset[Subnet]:
        ours = self._on_networks("used_subnets", lambda networks: networks.subnets())
        return ours | routes.host_subnets(self._address, self._settings)

    def uplink(self) -> Uplink | None:
        return routes.uplink(self._address, self._settings)

    # --- storage
    def ensure_pool(self, spec: PoolSpec) -> PoolInfo:
        return self._on_storage("ensure_pool", lambda storage: storage.ensure_pool(spec))

    def volumes(self, pool: str) -> list[VolumeInfo]:
        return self._on_storage("volumes", lambda storage: storage.volumes(pool))

    def volume(self, pool: str, name: str) -> VolumeInfo | None:
        return self._on_storage("volume", lambda storage: storage.volume(pool, name))

    def ensure_volume(self, spec: VolumeSpec) -> VolumeInfo:
        return self._on_storage("ensure_volume", lambda storage: storage.ensure_volume(spec))

    def upload(self, *, pool: str, name: str, source: BinaryIO, offset: int, length: int, seconds: float = 20.0) -> int:
        return self._on_storage(
            "upload",
            lambda storage: storage.upload(pool, name, source=source, offset=offset, length=length, seconds=seconds),
            seconds=seconds + self._settings.call_timeout,
        )

    def download(
        self, *, pool: str, name: str, target: BinaryIO, offset: int, seconds: float = 20.0
    ) -> tuple[int, bool]:
        return self._on_storage(
            "download",
            lambda storage: storage.download(pool, name, target=target, offset=offset, seconds=seconds),
            seconds=seconds + self._settings.call_timeout,
        )

    def dependents(self, pool: str, name: str) -> list[str]:
        return self._on_storage("dependents", lambda storage: storage.dependents(pool, name))

    def remove_volume(self, pool: str, name: str) -> None:
        self._on_storage("remove_volume", lambda storage: storage.remove_volume(pool, name))

    def copy_volume(self, *, source: DiskSpec, target: VolumeSpec) -> CopyProgress:
        return self._connection.run("copy_volume", lambda virt: self._copies(virt).copy(source, target))

    def stop_copy(self, pool: str, name: str) -> None:
        self._connection.run("stop_copy", lambda virt: self._copies(virt).stop(pool, name))

    # --- networks
    def ensure_network(self, spec: NetworkSpec | LanSpec) -> None:
        self._on_networks("ensure_network", lambda networks: networks.ensure(spec))

    def remove_network(self, name: str) -> None:
        self._on_networks("remove_network", lambda networks: networks.remove(name))

    def ensure_reservation(self, network: str, reservation: DhcpReservation) -> None:
        self._on_networks("ensure_reservation", lambda networks: networks.ensure_reservation(network, reservation))

    def remove_reservation(self, network: str, mac: str) -> None:
        self._on_networks("remove_reservation", lambda networks: networks.remove_reservation(network, mac))

    def leases(self, network: str) -> list[Lease]:
        return self._on_networks("leases", lambda networks: networks.leases(network))

    def release_lease(self, network: str, mac: str) -> None:
        server = self._on_networks("release_lease", lambda networks: networks.dhcp_server(network))
        if server is not None:
            held = lambda: [lease.ip for lease in self.leases(network) if lease.mac == mac]  # noqa: E731
            dhcp_release.release_all(self._address, self._settings, server, held=held, mac=mac)

    def forwarding(self) -> Forwarding | None:
        return self._connection.run("forwarding", forwards.forwarding)

    def ensure_forward(self, network: str, forward: PortForward) -> None:
        self._on_networks("ensure_forward", lambda networks: forwards.ensure_forward(networks, network, forward))

    def remove_forward(self, network: str, protocol: Literal["tcp", "udp"], host_port: int) -> None:
        self._on_networks(
            "remove_forward", lambda networks: forwards.remove_forward(networks, network, protocol, host_port)
        )

    # --- consoles
    def open_console(self, uuid: UUID, sink: Callable[[bytes], None]) -> SerialConsole:
        def open_on(virt: libvirt.virConnect, stream: libvirt.virStream) -> None:
            self._domains(virt).up(uuid).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)

        return LibvirtConsole(self._connection, open_on, sink)

    def open_screen(self, uuid: UUID) -> socket.socket:
        if self._address.transport == "local":
            return self._on_domains("open_screen", lambda domains: screen.local(domains.up(uuid)), repeat=False)
        if self._address.transport == "tls":
            return self._on_domains("open_screen", lambda domains: screen.over_tls(domains.up(uuid)))
        path = self._on_domains("open_screen", lambda domains: screen.socket_path(domains.up(uuid)))
        return screen.over_ssh(self._address, self._settings, path)

    def screenshot(self, uuid: UUID) -> Screenshot:
        return self._connection.run("screenshot", lambda virt: screen.screenshot(virt, self._domains(virt).up(uuid)))

    # --- the guest agent
    def set_password(self, uuid: UUID, user: str, password: str) -> None:
        self._on_domains("set_password", lambda domains: agent.set_password(domains.ours(uuid), user, password))

    def expire_password(self, uuid: UUID, user: str) -> bool:
        return self._on_domains("expire_password", lambda domains: agent.expire_password(domains.ours(uuid), user))

    # --- domains
    def ensure_defined(self, spec: DomainSpec) -> None:
        self._on_domains("ensure_defined", lambda domains: domains.ensure_defined(spec))

    def ensure_running(self, uuid: UUID) -> None:
        self._on_domains("ensure_running", lambda domains: domains.ensure_running(uuid))

    def set_paused(self, uuid: UUID, *, paused: bool) -> None:
        self._on_domains("set_paused", lambda domains: domains.set_paused(uuid, paused=paused))

    def set_live_size(self, uuid: UUID, *, vcpus: int, memory_mib: int) -> None:
        self._on_domains(
            "set_live_size", lambda domains: domains.set_live_size(uuid, vcpus=vcpus, memory_mib=memory_mib)
        )

    def power_off(self, uuid: UUID) -> None:
        self._on_domains("power_off", lambda domains: domains.power_off(uuid))

    def press(self, uuid: UUID, button: Button) -> None:
        self._on_domains("press", lambda domains: domains.press(uuid, button), repeat=False)

    def eject(self, uuid: UUID, pool: str, volume: str) -> None:
        self._on_domains("eject", lambda domains: domains.eject(uuid, pool, volume))

    def undefine(self, uuid: UUID) -> None:
        self._on_domains("undefine", lambda domains: domains.undefine(uuid))

    def ensure_nic(self, uuid: UUID, nic: NicSpec) -> None:
        self._on_domains("ensure_nic", lambda domains: interfaces.ensure_nic(domains, uuid, nic))

    def remove_nic(self, uuid: UUID, mac: str) -> bool:
        return self._on_domains("remove_nic", lambda domains: interfaces.remove_nic(domains, uuid, mac))

    def domains(self) -> list[DomainSummary]:
        return self._on_domains("domains", lambda domains: domains.summaries())

    def describe(self, uuids: Collection[UUID]) -> dict[UUID, DomainState]:
        return self._on_domains("describe", lambda domains: domains.describe(uuids))

    def domain(self, uuid: UUID) -> DomainState | None:
        return self._on_domains("domain", lambda domains: domains.describe_one(uuid))

    def addresses(self, uuid: UUID, *, sources: tuple[AddressSource, ...] = ("lease", "arp")) -> list[GuestAddress]:
        return self._on_domains("addresses", lambda domains: domains.addresses(uuid, sources))

    # --- snapshots of a domain
    def snapshots(self, uuids: Collection[UUID]) -> dict[UUID, list[SnapshotState]]:
        def read(domains: Domains) -> dict[UUID, list[SnapshotState]]:
            states = {uuid: Snapshots(domains).states(uuid) for uuid in uuids}
            return {uuid: found for uuid, found in states.items() if found is not None}

        return self._on_domains("snapshots", read)

    def create_snapshot(self, uuid: UUID, spec: SnapshotSpec, *, seconds: float = 15.0) -> bool:
        return self._on_snapshots("create_snapshot", lambda snapshots: snapshots.create(uuid, spec), seconds)

    def revert_snapshot(self, uuid: UUID, name: str, *, seconds: float = 15.0) -> bool:
        return self._on_snapshots("revert_snapshot", lambda snapshots: snapshots.revert(uuid, name), seconds)

    def remove_snapshot(self, uuid: UUID, name: str, *, seconds: float = 15.0) -> bool:
        return self._on_snapshots("remove_snapshot", lambda snapshots: snapshots.remove(uuid, name), seconds)

    def _on_snapshots(self, name: str, call: Callable[[Snapshots], bool], seconds: float) -> bool:
        return bool(self._connection.begin(name, lambda virt: call(Snapshots(self._domains(virt))), seconds=seconds))

    # --- disks of a domain
    def _on_disks(self, name: str, uuid: UUID, call: Callable[[Disks], T]) -> T:
        return self._on_domains(name, lambda domains: call(Disks(domains, uuid)))

    def disks(self, uuid: UUID) -> list[DiskState]:
        return self._on_disks("disks", uuid, lambda disks: disks.states())

    def attach_disk(self, uuid: UUID, disk: DiskSpec, metadata: DomainMetadata) -> None:
        self._on_disks("attach_disk", uuid, lambda disks: disks.attach(disk, metadata))

    def detach_disk(self, uuid: UUID, disk: DiskSpec, metadata: DomainMetadata) -> bool:
        return self._on_disks("detach_disk", uuid, lambda disks: disks.detach(disk, metadata))

    def grow_disk(self, uuid: UUID, disk: DiskSpec, capacity_bytes: int) -> bool:
        return self._on_disks("grow_disk", uuid, lambda disks: disks.grow(disk, capacity_bytes))

    def limit_disk(self, uuid: UUID, disk: DiskSpec) -> None:
        self._on_disks("limit_disk", uuid, lambda disks: disks.limit(disk))

    # --- the connection
    def watch(self, sink: Callable[[HostEvent], None]) -> Subscription:
        return Watch(self._connection, sink)

    def is_alive(self) -> bool:
        return self._connection.is_alive()

    def close(self) -> None:
        self._connection.close()

    def close_if_idle(self) -> None:
        """Called by whoever keeps the drivers of a process; a connection in use is not idle, and a watch
        has its own.
        """
        self._connection.close_if_idle()
