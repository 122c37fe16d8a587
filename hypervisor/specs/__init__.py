"""The nouns of the hypervisor seam: what we ask a host for (…Spec), what it told us (…Info, …State, …Facts).

Everything is frozen, keyword-only and checked when it is made, so that the XML builders and the connection
code may trust it. Sizes say their unit in their name.
"""

from hypervisor.specs.domain import (
    MACHINES,
    Button,
    CpuSpec,
    DirectBoot,
    DiskSpec,
    DomainMetadata,
    DomainSpec,
    DomainState,
    DomainSummary,
    FreeText,
    NicSpec,
    Power,
    default_cpu,
)
from hypervisor.specs.host import (
    Accelerator,
    AcceleratorProof,
    ConnectionSettings,
    EventKind,
    HostAddress,
    HostEvent,
    HostFacts,
    Transport,
)
from hypervisor.specs.network import (
    AddressSource,
    DhcpReservation,
    GuestAddress,
    Lease,
    NetworkSpec,
    Subnet,
    every_reservation,
    mac_for,
)
from hypervisor.specs.storage import (
    Backing,
    PoolInfo,
    PoolSpec,
    VolumeFormat,
    VolumeInfo,
    VolumeSpec,
)

__all__ = [
    "MACHINES",
    "Accelerator",
    "AcceleratorProof",
    "AddressSource",
    "Backing",
    "Button",
    "ConnectionSettings",
    "CpuSpec",
    "DhcpReservation",
    "DirectBoot",
    "DiskSpec",
    "DomainMetadata",
    "DomainSpec",
    "DomainState",
    "DomainSummary",
    "EventKind",
    "FreeText",
    "GuestAddress",
    "HostAddress",
    "HostEvent",
    "HostFacts",
    "Lease",
    "NetworkSpec",
    "NicSpec",
    "PoolInfo",
    "PoolSpec",
    "Power",
    "Subnet",
    "Transport",
    "VolumeFormat",
    "VolumeInfo",
    "VolumeSpec",
    "default_cpu",
    "every_reservation",
    "mac_for",
]
