"""One spec of every kind, and the XML it becomes. `python -m tests.hypervisor.cases` writes the golden
files.
"""

import dataclasses
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final
from uuid import UUID

from hypervisor import cdrom_xml, copy_xml, domain_xml, network_xml, snapshot_xml, storage_xml
from hypervisor.specs import (
    MACHINES,
    Backing,
    CpuSpec,
    DhcpReservation,
    DirectBoot,
    DiskSpec,
    DomainMetadata,
    DomainSpec,
    LanSpec,
    NetworkSpec,
    NicSpec,
    PoolSpec,
    SnapshotSpec,
    VolumeSpec,
    default_cpu,
    every_reservation,
    snapshot_name,
)

GOLDEN: Final = Path(__file__).parent / "golden"
UUID_1: Final = UUID("11111111-2222-4333-8444-555555555555")
POOL: Final = PoolSpec(name="cs-1a2b3c4d", path="/var/lib/libvirt/images/cs-1a2b3c4d")
BASE: Final = Backing(volume="img-1.qcow2", format="qcow2")
OVERLAY: Final = VolumeSpec(pool=POOL.name, name="vm-1.qcow2", capacity_bytes=10 * 2**30, format="qcow2", backing=BASE)
NETWORK: Final = NetworkSpec(
    name="cs-1a2b3c4d",
    uuid=UUID_1,
    bridge="cs1a2b3c4d",
    cidr=IPv4Network("10.66.0.0/24"),
    gateway=IPv4Address("10.66.0.1"),
    dhcp_start=IPv4Address("10.66.0.2"),
    dhcp_end=IPv4Address("10.66.0.254"),
    installation="1a2b3c4d",
    reservations=every_reservation(UUID_1, IPv4Address("10.66.0.10"), IPv4Address("10.66.0.12")),
    mtu=1450,
)
LAN: Final = LanSpec(name="cs-1a2b3c4d-office", uuid=UUID_1, device="enp3s0", is_bridge=False, installation="1a2b3c4d")
DOMAIN: Final = DomainSpec(
    uuid=UUID_1,
    name="cs-1a2b3c4d-1111",
    title="web-1",
    vcpus=1,
    memory_mib=512,
    metadata=DomainMetadata(installation="1a2b3c4d", fence=3, owner="ann", project="shop"),
    accelerator="kvm",
    cpu=default_cpu("kvm"),
    disks=(
        DiskSpec(pool=POOL.name, volume="vm-1.qcow2", format="qcow2", target="vda", serial="root", backing=BASE),
        DiskSpec(pool=POOL.name, volume="seed-1.iso", format="iso", target="sda", device="cdrom", bus="sata"),
    ),
    nics=(NicSpec(mac="52:55:55:0a:00:0a", network=NETWORK.name, filter="clean-traffic"),),
)
DATA_DISK: Final = DiskSpec(
    pool=POOL.name,
    volume="vol-1.qcow2",
    format="qcow2",
    target="vdc",
    serial=str(UUID_1),
    iops=500,
    bytes_per_second=20 * 2**20,
)
PROBE: Final = DomainSpec(
    uuid=UUID_1,
    name="cs-probe-1111",
    title="",
    vcpus=2,
    max_vcpus=4,
    memory_mib=256,
    max_memory_mib=1024,
    metadata=DomainMetadata(installation="1a2b3c4d"),
    accelerator="tcg",
    cpu=default_cpu("tcg"),
    direct_boot=DirectBoot(pool=POOL.name, kernel="vmlinuz.raw", initrd="initrd.raw", command_line="console=ttyS0"),
)
UEFI: Final = DomainSpec(
    uuid=UUID_1,
    name="cs-1a2b3c4d-1111",
    title="<b>&amp; ]]> \u202e\x00\ud800 \n two lines",
    vcpus=1,
    memory_mib=512,
    metadata=DomainMetadata(installation="1a2b3c4d", owner='"><x/>'),
    accelerator="kvm",
    cpu=CpuSpec(mode="custom", model="Haswell-noTSX", features=("rdrand", "aes")),
    firmware="uefi",
    boot_order=("cdrom", "hd", "network"),
    disks=(DiskSpec(pool=POOL.name, volume="vm-1.raw", format="raw", target="sda", bus="scsi"),),
)


COMPATIBLE: Final = dataclasses.replace(
    DOMAIN,
    accelerator="tcg",
    cpu=default_cpu("tcg"),
    disks=(
        DiskSpec(pool=POOL.name, volume="vm-1.qcow2", format="qcow2", target="sda", bus="sata", backing=BASE),
        DiskSpec(pool=POOL.name, volume="seed-1.iso", format="iso", target="sdb", bus="sata", device="cdrom"),
    ),
    nics=(NicSpec(mac="52:55:55:0a:00:0a", network=NETWORK.name, model="e1000e"),),
)
ARM: Final = dataclasses.replace(
    DOMAIN,
    accelerator="tcg",
    cpu=default_cpu("tcg", "aarch64"),
    architecture="aarch64",
    machine=MACHINES["aarch64"],
    firmware="uefi",
    disks=(DiskSpec(pool=POOL.name, volume="vm-1.qcow2", format="qcow2", target="vda", backing=BASE),),
    nics=(NicSpec(mac="52:55:55:0a:00:0a", network=NETWORK.name),),
)
ARM_DIRECT: Final = dataclasses.replace(ARM, firmware="bios", direct_boot=PROBE.direct_boot, disks=(), nics=())


WITH_CD: Final = dataclasses.replace(
    DOMAIN,
    accelerator="tcg",
    cpu=default_cpu("tcg"),
    boot_order=("cdrom", "hd"),
    disks=(
        DiskSpec(pool=POOL.name, volume="vm-1.qcow2", format="qcow2", target="vda"),
        DiskSpec(pool=POOL.name, volume="img-2.iso", format="iso", target="sde", bus="sata", device="cdrom"),
    ),
)
ARM_WITH_CD: Final = dataclasses.replace(
    ARM,
    boot_order=("cdrom", "hd"),
    disks=(
        DiskSpec(pool=POOL.name, volume="vm-1.qcow2", format="qcow2", target="vda"),
        DiskSpec(pool=POOL.name, volume="img-2.iso", format="iso", target="sde", bus="scsi", device="cdrom"),
    ),
)
RESCUED: Final = dataclasses.replace(
    DOMAIN,
    accelerator="tcg",
    cpu=default_cpu("tcg"),
    disks=(
        DiskSpec(pool=POOL.name, volume="rescue-1.qcow2", format="qcow2", target="vda", backing=BASE),
        DiskSpec(pool=POOL.name, volume="vm-1.qcow2", format="qcow2", target="vdb", backing=BASE),
        DiskSpec(pool=POOL.name, volume="rescue-1.iso", format="iso", target="vdk"),
    ),
)
COPY: Final = VolumeSpec(pool=POOL.name, name="vm-2.qcow2", capacity_bytes=10 * 2**30, format="qcow2", backing=BASE)


def path_of(_pool: str, volume: str) -> str:
    return storage_xml.volume_path(POOL.path, volume)


CASES: Final[dict[str, Callable[[], str]]] = {
    "pool": lambda: storage_xml.build_pool(POOL),
    "volume": lambda: storage_xml.build_volume(
        VolumeSpec(pool=POOL.name, name="img-1.qcow2", capacity_bytes=2**31, format="qcow2"),
        pool_path=POOL.path,
    ),
    "volume-overlay": lambda: storage_xml.build_volume(OVERLAY, pool_path=POOL.path),
    "network": lambda: network_xml.build_network(NETWORK),
    "network-isolated": lambda: network_xml.build_network(dataclasses.replace(NETWORK, isolated=True, reservations=())),
    "network-lan-bridge": lambda: network_xml.build_network(dataclasses.replace(LAN, device="br0", is_bridge=True)),
    "network-lan-macvtap": lambda: network_xml.build_network(LAN),
    "reservation": lambda: network_xml.build_reservation(
        DhcpReservation(mac="52:54:00:00:00:01", ip=IPv4Address("10.66.0.40")), lease_minutes=5
    ),
    "boot-marker": lambda: network_xml.build_boot_marker("cloudsite-boot", UUID_1),
    "domain": lambda: domain_xml.build(DOMAIN, path_of),
    "disk": lambda: domain_xml.build_disk(DATA_DISK, path_of),
    "domain-direct-boot": lambda: domain_xml.build(PROBE, path_of),
    "domain-uefi": lambda: domain_xml.build(UEFI, path_of),
    "domain-compatible": lambda: domain_xml.build(COMPATIBLE, path_of),
    "domain-aarch64": lambda: domain_xml.build(ARM, path_of),
    "domain-aarch64-direct-boot": lambda: domain_xml.build(ARM_DIRECT, path_of),
    "snapshot": lambda: snapshot_xml.build(SnapshotSpec(name=snapshot_name(UUID_1), memory=True)),
    "snapshot-leftover": lambda: snapshot_xml.build_leftover(snapshot_name(UUID_1), domain_xml.build(PROBE, path_of)),
    "domain-cdrom": lambda: domain_xml.build(WITH_CD, path_of),
    "domain-aarch64-cdrom": lambda: domain_xml.build(ARM_WITH_CD, path_of),
    "domain-rescued": lambda: domain_xml.build(RESCUED, path_of),
    "cdrom-emptied": lambda: (
        cdrom_xml.emptied(domain_xml.build(WITH_CD, path_of), path_of(POOL.name, "img-2.iso")) or ""
    ),
    "domain-copy": lambda: domain_xml.build(copy_xml.holder("1a2b3c4d", DOMAIN.disks[0], COPY, "x86_64"), path_of),
    "copy-target": lambda: copy_xml.build_target(COPY, path_of),
    "metadata": lambda: domain_xml.build_metadata(DOMAIN.metadata),
}


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, build in CASES.items():
        (GOLDEN / f"{name}.xml").write_text(build() + "\n")


if __name__ == "__main__":
    main()
