"""A domain as libvirt's XML: written whole the first time, later changed only where it is ours.

Ours are type, title, vCPUs, memory, CPU, boot, our metadata, and the disks and interfaces that carry an alias
of ours (libvirt keeps aliases that begin with `ua-`). What somebody added with `virsh edit` stays, and so do
the PCI addresses by which the guest knows its devices.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from hypervisor import xml_tree
from hypervisor.specs import DiskSpec, DomainMetadata, DomainSpec, NicSpec
from hypervisor.xml_tree import E, Element, ElementMaker

NAMESPACE: Final = "urn:cloudsite:vm:1"
PREFIX: Final = "cs"
ALIAS: Final = "ua-cs-"
AGENT_CHANNEL: Final = "org.qemu.guest_agent.0"
PORTS: Final = 16  # all the slots there are: about half is used from the start, the rest is for hot-plug
_OURS = ElementMaker(NAMESPACE, PREFIX)
_DISK_FORMATS: Final = {"qcow2": "qcow2", "raw": "raw", "iso": "raw"}
_TYPES: Final = {"kvm": "kvm", "tcg": "qemu"}

PathOf = Callable[[str, str], str]
"""(pool, volume) -> path on the host. Paths rather than `type='volume'`: AppArmor's helper does not look into
pools.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainXml:
    """What we read from a definition."""

    uuid: UUID
    name: str
    title: str
    vcpus: int
    memory_mib: int
    max_vcpus: int
    max_memory_mib: int
    installation: str | None
    fence: int | None
    disk_paths: tuple[str, ...]
    macs: tuple[str, ...]


def build(spec: DomainSpec, path_of: PathOf, *, domain_type: str | None = None) -> str:
    """`domain_type` replaces kvm or qemu where the connection is to another kind of driver (libvirt's
    `test`).
    """
    return xml_tree.render(_domain(spec, path_of, domain_type))


def build_metadata(metadata: DomainMetadata) -> str:
    """The bare element, as libvirt wants it beside a namespace and a prefix, and as it gives it back."""
    return xml_tree.render(_metadata(metadata, E))


def build_disk(disk: DiskSpec, path_of: PathOf) -> str:
    """One disk on its own, to be attached to a domain that is there."""
    return xml_tree.render(_disk(disk, path_of))


def _domain(spec: DomainSpec, path_of: PathOf, domain_type: str | None) -> Element:
    domain = E.domain(E.name(spec.name), E.uuid(str(spec.uuid)), type=domain_type or _TYPES[spec.accelerator])
    title = xml_tree.clean_line(spec.title)
    if title:
        domain.append(E.title(title))
    domain.append(E.metadata(_metadata(spec.metadata, _OURS)))
    domain.extend(_size(spec))
    domain.append(_os(spec, path_of))
    domain.append(_features(spec))
    domain.append(_cpu(spec))
    domain.append(E.clock(offset="utc"))
    domain.extend((E.on_poweroff("destroy"), E.on_reboot("restart"), E.on_crash("destroy")))
    domain.append(_devices(spec, path_of))
    return domain


def _metadata(metadata: DomainMetadata, maker: ElementMaker) -> Element:
    return maker.vm(
        maker.owner(xml_tree.clean_line(metadata.owner)),
        maker.project(xml_tree.clean_line(metadata.project)),
        installation=metadata.installation,
        fence=str(metadata.fence),
    )


def _size(spec: DomainSpec) -> list[Element]:
    """`current` is written only where it differs, as libvirt itself does."""
    maximum = spec.max_memory_mib or spec.memory_mib
    vcpu = E.vcpu(str(spec.max_vcpus or spec.vcpus), placement="static")
    if spec.max_vcpus and spec.max_vcpus != spec.vcpus:
        vcpu.set("current", str(spec.vcpus))
    return [
        E.memory(str(maximum * 1024), unit="KiB"),
        E.currentMemory(str(spec.memory_mib * 1024), unit="KiB"),
        vcpu,
    ]


def _os(spec: DomainSpec, path_of: PathOf) -> Element:
    os = E.os(E.type("hvm", arch=spec.architecture, machine=spec.machine))
    if spec.firmware == "uefi":
        os.set("firmware", "efi")
        # Of itself libvirt takes the first description there is, in Debian the one with Secure Boot and the keys of
        # Microsoft, which refuses every boot loader that is not signed by them.
        os.append(E.firmware(*(E.feature(enabled="no", name=name) for name in ("enrolled-keys", "secure-boot"))))
    direct = spec.direct_boot
    if direct is not None:
        os.append(E.kernel(path_of(direct.pool, direct.kernel)))
        os.append(E.initrd(path_of(direct.pool, direct.initrd)))
        command_line = xml_tree.clean_line(direct.command_line)
        if command_line:
            os.append(E.cmdline(command_line))
    os.extend(E.boot(dev=device) for device in spec.boot_order)
    return os


def _features(spec: DomainSpec) -> Element:
    """An ARM guest that is booted without UEFI has a device tree instead of ACPI."""
    features = E.features()
    if spec.architecture != "aarch64" or spec.firmware == "uefi":
        features.append(E.acpi())
    if spec.architecture != "aarch64":
        features.append(E.apic())
    return features


def _cpu(spec: DomainSpec) -> Element:
    cpu = E.cpu(mode=spec.cpu.mode)
    if spec.cpu.mode == "custom":
        cpu.set("match", "exact")
        cpu.append(E.model(spec.cpu.model, fallback="forbid"))
    cpu.extend(E.feature(policy="require", name=name) for name in spec.cpu.features)
    return cpu


def _devices(spec: DomainSpec, path_of: PathOf) -> Element:
    """The graphics socket is made by libvirt, reachable on the host only, and has neither port nor
    password.
    """
    devices = E.devices()
    if spec.machine.startswith("q35"):
        devices.extend(ports(range(1, PORTS + 1)))
    devices.extend(_disk(disk, path_of) for disk in spec.disks)
    devices.extend(_interface(nic) for nic in spec.nics)
    devices.extend(
        (
            E.serial(E.target(port="0"), type="pty"),
            E.console(E.target(type="serial", port="0"), type="pty"),
            E.channel(E.target(type="virtio", name=AGENT_CHANNEL), type="unix"),
            E.graphics(E.listen(type="socket"), type="vnc"),
            *_screen_and_keys(spec),
            E.rng(E.backend("/dev/urandom", model="random"), model="virtio"),
            E.memballoon(model="virtio"),
        )
    )
    return devices


def _screen_and_keys(spec: DomainSpec) -> list[Element]:
    """A PC has VGA and PS/2 of its own; an ARM board has neither."""
    if spec.architecture != "aarch64":
        return [E.video(E.model(type="vga"))]
    keys = [E.input(type=kind, bus="usb") for kind in ("keyboard", "tablet")]
    return [E.video(E.model(type="virtio")), E.controller(type="usb", model="qemu-xhci"), *keys]


def ports(indexes: Iterable[int]) -> list[Element]:
    """PCIe ports; libvirt by itself gives a guest one more than it has devices. Index 0 is the root's."""
    return [E.controller(type="pci", index=str(index), model="pcie-root-port") for index in indexes]


def _disk(disk: DiskSpec, path_of: PathOf) -> Element:
    """The whole chain is spelled out and ended, so that QEMU never guesses a format from what a guest has
    written.
    """
    element = E.disk(
        E.driver(name="qemu", type=_DISK_FORMATS[disk.format]),
        E.source(file=path_of(disk.pool, disk.volume)),
        type="file",
        device=disk.device,
    )
    if disk.device == "disk":
        element.append(_backing(disk, path_of))
    element.append(E.target(dev=disk.target, bus=disk.bus))
    if disk.iops or disk.bytes_per_second:
        element.append(_limits(disk))
    if disk.device == "cdrom" or disk.format == "iso":
        element.append(E.readonly())
    if disk.serial:
        element.append(E.serial(disk.serial))
    element.append(E.alias(name=f"{ALIAS}{disk.target}"))
    return element


def _limits(disk: DiskSpec) -> Element:
    limits = E.iotune()
    if disk.bytes_per_second:
        limits.append(E.total_bytes_sec(str(disk.bytes_per_second)))
    if disk.iops:
        limits.append(E.total_iops_sec(str(disk.iops)))
    return limits


def _backing(disk: DiskSpec, path_of: PathOf) -> Element:
    if disk.backing is None:
        return E.backingStore()
    return E.backingStore(
        E.format(type=_DISK_FORMATS[disk.backing.format]),
        E.source(file=path_of(disk.pool, disk.backing.volume)),
        E.backingStore(),
        type="file",
    )


def build_interface(nic: NicSpec) -> str:
    return xml_tree.render(_interface(nic))


def interfaces(text: str) -> dict[str, str]:
    """The interfaces of a definition by MAC, each as its own XML."""
    found = xml_tree.parse(text).iterfind("devices/interface")
    return {_mac_of(interface): xml_tree.render(interface) for interface in found}


def _mac_of(interface: Element) -> str:
    mac = interface.find("mac")
    return "" if mac is None else mac.get("address", "").lower()


def _interface(nic: NicSpec) -> Element:
    element = E.interface(
        E.mac(address=nic.mac), E.source(network=nic.network), E.model(type=nic.model), type="network"
    )
    if nic.filter:
        element.append(E.filterref(filter=nic.filter))
    element.append(E.alias(name=f"{ALIAS}nic-{nic.mac.replace(':', '')}"))
    return element


def read(text: str) -> DomainXml:
    """Read a definition; what is missing reads as empty, since foreign domains come in all shapes."""
    root = xml_tree.parse(text)
    ours = root.find(f"metadata/{{{NAMESPACE}}}vm")
    fence = ours.get("fence", "") if ours is not None else ""
    vcpu = root.find("vcpu")
    current = vcpu.get("current", "") if vcpu is not None else ""
    return DomainXml(
        uuid=UUID(xml_tree.text_of(root, "uuid")),
        name=xml_tree.text_of(root, "name"),
        title=xml_tree.text_of(root, "title"),
        vcpus=int(current) if current.isdigit() else xml_tree.number_of(root, "vcpu"),
        memory_mib=(xml_tree.number_of(root, "currentMemory") or xml_tree.number_of(root, "memory")) // 1024,
        max_vcpus=xml_tree.number_of(root, "vcpu"),
        max_memory_mib=xml_tree.number_of(root, "memory") // 1024,
        installation=None if ours is None else ours.get("installation"),
        fence=int(fence) if fence.isascii() and fence.isdigit() else None,
        disk_paths=tuple(s.get("file", "") for s in root.iterfind("devices/disk/source") if s.get("file")),
        macs=tuple(m.get("address", "").lower() for m in root.iterfind("devices/interface/mac")),
    )


def read_metadata(text: str) -> tuple[str | None, int]:
    """Installation and fence from the bare element libvirt hands out by namespace."""
    root = xml_tree.parse(text)
    fence = root.get("fence", "")
    return root.get("installation"), int(fence) if fence.isascii() and fence.isdigit() else 0


def same(actual: str, wanted: str) -> bool:
    """Whether two metadata elements say the same."""
    return bool(actual) and xml_tree.contains(xml_tree.parse(actual), xml_tree.parse(wanted))
