"""The one interface between "decide" and "do on a host".

Rules every implementation keeps, and `tests/hypervisor/test_contract.py` proves:

- A method observes, compares, acts and returns; "already so" is success, so every one but `press` may be
  repeated at will.
- A method ends within `ConnectionSettings.call_timeout` (`prove_accelerator`, `upload` and `download`: within the time
  they are given plus that).
  Whoever gets `HostUnreachable` does not know what happened and has to read the host again.
- Only domains and networks that carry our installation id are changed; others raise `ForeignObject`.
- Safe for threads. Opens its connection at first use, in the process that uses it.
"""

import socket
from collections.abc import Callable, Collection
from typing import BinaryIO, Literal, Protocol
from uuid import UUID

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


class Subscription(Protocol):
    def close(self) -> None:
        """End it; no event is delivered afterwards. Closing twice is fine."""


class SerialConsole(Protocol):
    def send(self, data: bytes) -> bool:
        """Queue what was typed, for any thread. False when the guest has not taken what was typed before."""

    def close(self) -> None:
        """Let go of it; nothing is delivered afterwards. Closing twice is fine."""


class Hypervisor(Protocol):
    """One host as one installation sees it."""

    # --- the host
    def facts(self) -> HostFacts:
        """Everything about the host; can take seconds, since libvirt asks every QEMU what it can do."""

    def boot_id(self) -> UUID:
        """Changes exactly when the host has been rebooted. One or two short calls."""

    def prove_accelerator(
        self, *, pool: str, kernel: str, initrd: str, kind: Accelerator, timeout: float = 20.0
    ) -> AcceleratorProof:
        """Boot two volumes to the line CLOUDSITE-PROBE-OK on the serial console. A guest that does not is an
        answer, not an error.
        """

    def used_subnets(self) -> frozenset[Subnet]:
        """Subnets of all libvirt networks and, over local and ssh, of the host's addresses and routes.

        Over TLS the host's own routes cannot be read; there `ensure_network` raises `Conflict` for a taken
        subnet.
        """

    def uplink(self) -> Uplink | None:
        """Where the default route goes, over local and ssh; None where there is no such route, and over TLS,
        where it cannot be read.
        """

    # --- storage
    def ensure_pool(self, spec: PoolSpec) -> PoolInfo:
        """Defined, built, started, and again at boot. `Conflict` when the name is taken by another path."""

    def volumes(self, pool: str) -> list[VolumeInfo]:
        """All volumes, after a look at the directory itself."""

    def volume(self, pool: str, name: str) -> VolumeInfo | None: ...

    def ensure_volume(self, spec: VolumeSpec) -> VolumeInfo:
        """Create it, or grow it to the size asked for; never shrinks. A qcow2 to be uploaded is created at
        its virtual size.
        """

    def upload(self, *, pool: str, name: str, source: BinaryIO, offset: int, length: int, seconds: float = 20.0) -> int:
        """Send `length` bytes of a seekable `source` from `offset` to the same place of the volume, for about
        `seconds` at most.

        Returns the offset up to which the host has confirmed everything: the next call's `offset`. The length
        of the volume file
        is what was sent; a volume is not a valid image before all of it was.
        """

    def download(
        self, *, pool: str, name: str, target: BinaryIO, offset: int, seconds: float = 20.0
    ) -> tuple[int, bool]:
        """Read the volume's file from `offset` into `target`, for about `seconds` at most. Returns the offset that
        was reached, and whether that is the end.
        """

    def dependents(self, pool: str, name: str) -> list[str]:
        """The volumes of the pool that read through this one, as their own files say, after a look at them."""

    def remove_volume(self, pool: str, name: str) -> None:
        """Gone afterwards; a missing one, or a missing pool, is fine."""

    def copy_volume(self, *, source: DiskSpec, target: VolumeSpec) -> CopyProgress:
        """Begin to copy the disk of a guest that is off into a new volume, or look at the copy under way.

        Call it until it says `done`, once: a volume that no copy is writing is begun anew. With a backing volume,
        which both then share, only what the disk itself holds is copied.
        """

    def stop_copy(self, pool: str, name: str) -> None:
        """Stop the copy that writes this volume, and take the volume away; nothing under way is fine."""

    # --- networks
    def ensure_network(self, spec: NetworkSpec | LanSpec) -> None:
        """Defined, running, started with the host. Reservations made since are kept. `Conflict`: name, bridge
        or subnet is taken.
        """

    def remove_network(self, name: str) -> None: ...

    def ensure_reservation(self, network: str, reservation: DhcpReservation) -> None:
        """Keyed by MAC: another address for the same MAC replaces the old one; `Conflict` when the address
        is another MAC's.

        Slow and disturbing when something has to change: see `NetworkSpec`, which takes all of them at once.
        """

    def remove_reservation(self, network: str, mac: str) -> None: ...

    def leases(self, network: str) -> list[Lease]: ...

    def release_lease(self, network: str, mac: str) -> None:
        """The DHCP server forgets what it gave to a guest that is gone. Where no way leads to it (`qemu+tls`, no Perl
        on the host) nothing is done, and the lease ends by itself.
        """

    def forwarding(self) -> Forwarding | None:
        """None where port forwards do not work: our hook is not on the host, or libvirtd has not seen it yet."""

    def ensure_forward(self, network: str, forward: PortForward) -> None:
        """Kept with the network by libvirt, so it comes back whenever the network does. Another target of the
        same host port is replaced.
        """

    def remove_forward(self, network: str, protocol: Literal["tcp", "udp"], host_port: int) -> None:
        """Gone afterwards; a missing one, or a missing network, is fine."""

    # --- consoles
    def open_console(self, uuid: UUID, sink: Callable[[bytes], None]) -> SerialConsole:
        """The serial console, taken over from whoever reads it. `sink` runs in a thread of ours: it gets what the
        guest prints, then `b""` once, when the guest stops, somebody else takes over or the host is lost.

        `Rejected` for a guest that is off.
        """

    def open_screen(self, uuid: UUID) -> socket.socket:
        """A connection to the guest's VNC server, before its first byte. `Rejected` for a guest that is off,
        `Unsupported` where no way leads to it.
        """

    def screenshot(self, uuid: UUID) -> Screenshot:
        """What the screen shows. `Rejected` for a guest that is off."""

    # --- the guest agent
    def set_password(self, uuid: UUID, user: str, password: str) -> None:
        """The user of the guest signs in with it from now on. `Rejected` for a guest that does not run, or knows no
        such user, `GuestSilent` where no agent answers.
        """

    def expire_password(self, uuid: UUID, user: str) -> bool:
        """The user has to choose another one when signing in. False: this guest's agent cannot or may not do that."""

    # --- domains
    def ensure_defined(self, spec: DomainSpec) -> None:
        """The host's definition says what the spec says; what somebody else added to it stays.

        `ForeignObject` for a domain of another installation, `StaleFence` for one with a higher fence,
        `Conflict` for a name taken
        by another domain. A running guest sees the change at its next start.
        """

    def ensure_running(self, uuid: UUID) -> None:
        """Start a guest that is off or crashed, resume a paused one."""

    def set_paused(self, uuid: UUID, *, paused: bool) -> None:
        """`Rejected` for a guest that is off."""

    def set_live_size(self, uuid: UUID, *, vcpus: int, memory_mib: int) -> None:
        """Give a running guest vCPUs and memory within the maxima that it was started with; off is fine.

        vCPUs are only added: `Rejected` for fewer. Memory is asked for: the guest's balloon driver takes or gives it
        a moment later, and a guest without one never does.
        """

    def power_off(self, uuid: UUID) -> None:
        """Pull the plug; off is fine, missing is fine."""

    def press(self, uuid: UUID, button: Button) -> None:
        """Press a button of a running guest; `Rejected` when it is off. It returns when the button is
        pressed, not when the guest obeyed.
        """

    def eject(self, uuid: UUID, pool: str, volume: str) -> None:
        """Take a CD out of the drive of a running guest, even if that has locked it; a CD that is in no drive, or a
        guest that is off, is fine. The definition is `ensure_defined`'s.
        """

    def undefine(self, uuid: UUID) -> None:
        """Forget a domain that is off, with its NVRAM, saved state and snapshot records; missing is fine.
        Volumes stay.
        """

    def ensure_nic(self, uuid: UUID, nic: NicSpec) -> None:
        """The domain has the interface; a running guest sees it at once."""

    def remove_nic(self, uuid: UUID, mac: str) -> bool:
        """The domain has it no more. False: a running guest has not let go of it yet; ask again."""

    def domains(self) -> list[DomainSummary]:
        """Every domain of the host, also those that are not ours, in one call."""

    def describe(self, uuids: Collection[UUID]) -> dict[UUID, DomainState]:
        """In full, a few calls each: meant for domains one does not know yet. Missing ones are left out."""

    def domain(self, uuid: UUID) -> DomainState | None: ...

    def addresses(self, uuid: UUID, *, sources: tuple[AddressSource, ...] = ("lease", "arp")) -> list[GuestAddress]:
        """`agent` asks the guest and can take seconds; a guest without agent has simply no such address."""

    # --- snapshots of a domain
    # The host may be longer at it than a call may last. Then these return False after `seconds` and the host goes on:
    # look with `snapshots` and `domain` until it has ended, one way or the other.
    def snapshots(self, uuids: Collection[UUID]) -> dict[UUID, list[SnapshotState]]:
        """All snapshots of these domains, also those that somebody else made. Missing domains are left out."""

    def create_snapshot(self, uuid: UUID, spec: SnapshotSpec, *, seconds: float = 15.0) -> bool:
        """One of this name is there. `Unsupported` when the guest is up and its memory was not asked for, or off and
        it was.
        """

    def revert_snapshot(self, uuid: UUID, name: str, *, seconds: float = 15.0) -> bool:
        """The guest is as it was, with its old size and our old mark; whatever it did since is lost."""

    def remove_snapshot(self, uuid: UUID, name: str, *, seconds: float = 15.0) -> bool:
        """Gone afterwards, also what a call that never ended has left in the disks. What lies below it moves up."""

    # --- disks of a domain
    def disks(self, uuid: UUID) -> list[DiskState]:
        """What the definition and the running guest have, by target; nothing for a missing domain."""

    def attach_disk(self, uuid: UUID, disk: DiskSpec, metadata: DomainMetadata) -> None:
        """In the definition, and in the guest when it runs. `Conflict` where the target has another file.

        Like `ensure_defined` it writes the fence of `metadata`, and raises `StaleFence` for a higher one.
        """

    def detach_disk(self, uuid: UUID, disk: DiskSpec, metadata: DomainMetadata) -> bool:
        """Ask the guest to let go, then take it out of the definition. False: the guest still has it, and so
        has the definition; ask again later. Another file at the target is left alone: ours is not there.
        """

    def grow_disk(self, uuid: UUID, disk: DiskSpec, capacity_bytes: int) -> bool:
        """Grow it under the running guest; never shrinks. False: no running guest has it, so `ensure_volume`
        grows it.
        """

    def limit_disk(self, uuid: UUID, disk: DiskSpec) -> None:
        """The limits of the spec hold, in the definition and at once; where the disk is not, nothing is done."""

    # --- the connection
    def watch(self, sink: Callable[[HostEvent], None]) -> Subscription:
        """Lifecycle events of all domains from now on. `sink` runs in a thread of ours and should do no more
        than enqueue.

        The last event is `disconnected`, when the host is lost; then read the host and watch anew.
        """

    def is_alive(self) -> bool:
        """Whether a connection is open and has not been seen to break; asks nobody."""

    def close(self) -> None:
        """Let go of the connection; the next call opens it again."""
