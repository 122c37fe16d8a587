"""How a host is reached, and what it told us about itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal
from uuid import UUID

from hypervisor import names

Accelerator = Literal["kvm", "tcg"]
Transport = Literal["local", "ssh", "tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAddress:
    """Where a host is. `user` belongs to ssh alone; a local host has no name. Checked, since it reaches
    `ssh`'s command line.
    """

    transport: Transport
    host: str = ""
    user: str = ""
    port: int | None = None

    def __post_init__(self) -> None:
        if self.transport == "local":
            if self.host or self.user or self.port:
                raise ValueError("a local host has no name, user or port")
            return
        names.host_name(self.host)
        if self.transport == "ssh":
            names.user_name(self.user)
        elif self.user:
            raise ValueError("a TLS address has no user")
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError(f"not a port: {self.port}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Files and time limits of the connections; one object for all hosts of an installation. Seconds
    throughout.

    `directory` holds what `ssh` and TLS need, under fixed names (the properties below). The inequality
    keepalive_interval x (keepalive_count + 1) < call_timeout makes a dead host fail before a call
    is abandoned.
    """

    directory: Path
    keepalive_interval: int = 5
    keepalive_count: int = 3
    connect_timeout: int = 10
    call_timeout: float = 25.0
    idle_timeout: float = 300.0
    calls_per_host: int = 4
    local_socket: Path | None = None  # libvirtd's socket when it is not the system's

    def __post_init__(self) -> None:
        if self.keepalive_interval * (self.keepalive_count + 1) >= self.call_timeout:
            raise ValueError("keepalive must give up before a call does")

    @property
    def key_file(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh_config"

    @property
    def ssh_command(self) -> Path:
        return self.directory / "ssh"

    @property
    def pki_path(self) -> Path:
        """cacert.pem, clientcert.pem and clientkey.pem, the names libvirt looks for."""
        return self.directory / "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """`boot_id` changes exactly when the host has been rebooted. `kvm_advertised` is what libvirt says, not a
    proof. `uefi` are the architectures for whose guests it has UEFI firmware; `native` is its own. `cpu_features` is
    what guests of its own architecture find in their CPU; an accelerator of which libvirt cannot say it is left out.
    """

    hostname: str
    host_uuid: UUID
    boot_id: UUID
    cpus: int
    cpu_model: str
    memory_mib: int
    libvirt_version: str
    qemu_version: str
    architectures: tuple[str, ...]
    kvm_advertised: bool
    native: str = "x86_64"
    uefi: tuple[str, ...] = ()
    cpu_features: Mapping[Accelerator, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorProof:
    """Did a Linux kernel boot to its known line? `output` is the tail of the serial console, at most 4 KiB,
    untrusted.
    """

    works: bool
    seconds: float
    detail: str
    output: str = ""


class EventKind(StrEnum):
    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    STOPPED = "stopped"
    SHUTDOWN = "shutdown"
    PMSUSPENDED = "pmsuspended"
    CRASHED = "crashed"
    DISCONNECTED = "disconnected"  # the watch is over; nothing is known from here on


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEvent:
    """`detail` is libvirt's: for `stopped` shutdown (from inside), destroyed, crashed, failed, …; a
    disconnection has no domain.
    """

    kind: EventKind
    detail: str
    uuid: UUID | None = None
    name: str = ""
