"""What a host says about itself, and how we know that it was rebooted."""

import contextlib
from typing import Final
from uuid import UUID, uuid4

import libvirt

from hypervisor import cpu_xml, network_xml, xml_tree
from hypervisor.specs import MACHINES, Accelerator, HostFacts

BOOT_MARKER: Final = "cloudsite-boot"
DOMAIN_TYPES: Final[dict[Accelerator, str]] = {"kvm": "kvm", "tcg": "qemu"}


def read_facts(connection: libvirt.virConnect) -> HostFacts:
    capabilities = xml_tree.parse(connection.getCapabilities())
    info = connection.getInfo()
    guests = capabilities.findall("guest/arch")
    architectures = tuple(sorted({arch.get("name", "") for arch in guests}))
    return HostFacts(
        hostname=connection.getHostname(),
        host_uuid=_host_uuid(capabilities),
        boot_id=boot_id(connection),
        cpus=int(info[2]),
        cpu_model=xml_tree.text_of(capabilities, "host/cpu/model"),
        memory_mib=int(info[1]),
        libvirt_version=_version(connection.getLibVersion()),
        qemu_version=_version(connection.getVersion()),
        architectures=architectures,
        kvm_advertised=any(arch.find("domain[@type='kvm']") is not None for arch in guests),
        native=xml_tree.text_of(capabilities, "host/cpu/arch"),
        cpu_features=_cpu_features(connection, xml_tree.text_of(capabilities, "host/cpu/arch")),
        uefi=tuple(name for name in architectures if name in MACHINES and _has_uefi(connection, name)),
    )


def _has_uefi(connection: libvirt.virConnect, architecture: str) -> bool:
    """Whether libvirt finds firmware for guests of this architecture; one that cannot say has none."""
    with contextlib.suppress(libvirt.libvirtError):
        text = connection.getDomainCapabilities(None, architecture, MACHINES[architecture], "qemu", 0)
        offered = xml_tree.parse(text).findall("os/enum[@name='firmware']/value")
        return any(value.text == "efi" for value in offered)
    return False


def _cpu_features(connection: libvirt.virConnect, architecture: str) -> dict[Accelerator, tuple[str, ...]]:
    """What guests find in their CPU under each accelerator. Nothing where libvirt cannot say, as for ARM."""
    found = ((kind, guest_features(connection, architecture, kind)) for kind in DOMAIN_TYPES)
    return {kind: features for kind, features in found if features}


def guest_features(connection: libvirt.virConnect, architecture: str, kind: Accelerator) -> tuple[str, ...]:
    """The model that libvirt has of the CPU which QEMU can give to guests, with all that its name stands for."""
    if architecture not in MACHINES:
        return ()
    board, domain_type = MACHINES[architecture], DOMAIN_TYPES[kind]
    with contextlib.suppress(libvirt.libvirtError):
        text = connection.getDomainCapabilities(None, architecture, board, domain_type, 0)
        model = xml_tree.parse(text).find("cpu/mode[@name='host-model'][@supported='yes']")
        if model is None:
            return ()
        named = cpu_xml.build_model(architecture, xml_tree.text_of(model, "model"))
        flags = libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES
        whole = connection.baselineHypervisorCPU(None, architecture, board, domain_type, [named], flags)
        return cpu_xml.features(model, xml_tree.parse(whole))
    return ()


def boot_id(connection: libvirt.virConnect) -> UUID:
    """The UUID of a transient network that we leave on the host.

    libvirt has no boot id, and over TLS there is no shell to read the kernel's. A transient network is noted
    in /run/libvirt/network: it outlives libvirtd (stopped, killed, upgraded) and goes with the boot, as /run
    does. This kind of network (`private`, without an interface) makes no bridge, no firewall rule and no
    process; a transient pool would need a directory. Should somebody destroy it, the host looks rebooted, and
    a reconcile finds that every guest is still running.
    """
    try:
        return UUID(bytes=connection.networkLookupByName(BOOT_MARKER).UUID())
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
            raise
    identity = uuid4()
    try:
        connection.networkCreateXML(network_xml.build_boot_marker(BOOT_MARKER, identity))
    except libvirt.libvirtError:
        return UUID(bytes=connection.networkLookupByName(BOOT_MARKER).UUID())  # somebody else was faster
    return identity


def _host_uuid(capabilities: xml_tree.Element) -> UUID:
    """All zero where the host does not know (libvirt's test driver)."""
    text = xml_tree.text_of(capabilities, "host/uuid")
    return UUID(text) if text else UUID(int=0)


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
