"""XML: text stays text, golden files stay golden, what hosts send is read with suspicion."""

import dataclasses
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import uuid4

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from hypervisor import domain_merge, domain_xml, network_xml, xml_tree
from hypervisor.libvirt_driver import LibvirtHypervisor
from hypervisor.specs import (
    ConnectionSettings,
    DhcpReservation,
    DiskSpec,
    DomainMetadata,
    DomainSpec,
    HostAddress,
    NicSpec,
)
from hypervisor.uri import connection_uri
from tests.hypervisor.cases import (
    ARM,
    ARM_DIRECT,
    ARM_WITH_CD,
    CASES,
    COMPATIBLE,
    DOMAIN,
    GOLDEN,
    NETWORK,
    POOL,
    PROBE,
    RESCUED,
    UEFI,
    WITH_CD,
    path_of,
)

INJECTION = "x</name><backingStore><path>/etc/shadow</path></backingStore><name>"


def shape(element: xml_tree.Element) -> object:
    """Tags, attribute names and children; no text."""
    return element.tag, sorted(element.attrib), [shape(child) for child in element]


# --- golden files
@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    assert CASES[name]() + "\n" == (GOLDEN / f"{name}.xml").read_text()


def test_every_golden_file_has_its_case() -> None:
    assert {file.stem for file in GOLDEN.glob("*.xml")} == set(CASES)


# --- text stays text
@given(title=st.text(max_size=300), owner=st.text(max_size=100), command=st.text(max_size=100))
def test_no_text_changes_the_shape(title: str, owner: str, command: str) -> None:
    assert PROBE.direct_boot is not None
    boot = dataclasses.replace(PROBE.direct_boot, command_line=f"c{command}")
    metadata = DomainMetadata(installation="1a2b3c4d", owner=owner, project=title)
    spec = dataclasses.replace(PROBE, title=f"t{title}", metadata=metadata, direct_boot=boot)
    built = domain_xml.build(spec, path_of)
    plain = domain_xml.build(dataclasses.replace(PROBE, title="t"), path_of)
    assert shape(xml_tree.parse(built)) == shape(xml_tree.parse(plain))
    read = domain_xml.read(built)
    assert read.title == xml_tree.clean_line(f"t{title}")
    assert "\n" not in read.title


@given(text=st.text(max_size=300))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = xml_tree.clean_line(text)
    assert xml_tree.clean_line(once) == once


@pytest.mark.parametrize("text", [INJECTION, "../x.qcow2", "-rf", "a b", "ü.qcow2", "", "x\n.qcow2", ".qcow2"])
def test_free_text_is_not_a_name(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        DiskSpec(pool=POOL.name, volume=text, format="qcow2", target="vda")
    with pytest.raises(ValueError, match="not a valid"):
        dataclasses.replace(DOMAIN, name=text)
    with pytest.raises(ValueError, match="not a valid"):
        dataclasses.replace(NETWORK, bridge=text)


@pytest.mark.parametrize("mac", ["52:54:00:00:00", "53:54:00:00:00:01", "52-54-00-00-00-01", "52:54:00:00:00:0G"])
def test_bad_mac_is_refused(mac: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        NicSpec(mac=mac, network="n1")


def test_injection_changes_nothing_where_text_is_allowed() -> None:
    """The string template that real libvirt accepted, with the same input, is the control that fails."""
    template = f"<volume><name>{INJECTION}</name></volume>"
    assert etree.fromstring(template).find("backingStore") is not None
    built = xml_tree.parse(domain_xml.build(dataclasses.replace(DOMAIN, title=INJECTION), path_of))
    assert built.findtext("title") == INJECTION
    assert shape(built) == shape(xml_tree.parse(domain_xml.build(DOMAIN, path_of)))


# --- what hosts send
@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><domain><name>&e;</name></domain>',
        '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><domain><name>&b;</name></domain>',
        "<!DOCTYPE domain><domain/>",
        "<domain>",
        "",
        "<a>" * 10_000 + "</a>" * 10_000,
        "<domain>\ud800</domain>",
    ],
)
def test_suspicious_documents_are_refused(text: str) -> None:
    with pytest.raises(xml_tree.MalformedXml):
        xml_tree.parse(text)


def test_size_is_limited() -> None:
    with pytest.raises(xml_tree.MalformedXml, match="too large"):
        xml_tree.parse(f"<a>{'x' * xml_tree.MAX_BYTES}</a>")


def test_odd_definitions_are_read() -> None:
    """Foreign domains come in all shapes; what is missing reads as nothing."""
    read = domain_xml.read(
        "<domain><name>x</name><uuid>11111111-2222-4333-8444-555555555555</uuid>"
        "<memory>524288</memory><vcpu current='two'>four</vcpu>"
        "<devices><disk><source dev='/dev/sdb'/></disk></devices></domain>"
    )
    assert (read.vcpus, read.memory_mib, read.installation, read.fence) == (0, 512, None, None)
    assert read.disk_paths == ()


# --- changing an existing definition
def merged(current: str, spec: DomainSpec) -> xml_tree.Element:
    changed = domain_merge.merge(current, spec, path_of)
    assert changed is not None
    return xml_tree.parse(changed)


def as_libvirt_has_it(spec: DomainSpec) -> xml_tree.Element:
    """With what libvirt and people add."""
    root = xml_tree.parse(domain_xml.build(spec, path_of))
    machine = root.find("os/type")
    disk, devices = root.find("devices/disk"), root.find("devices")
    assert machine is not None
    assert disk is not None
    assert devices is not None
    machine.set("machine", "pc-q35-7.2")
    disk.append(xml_tree.E.address(type="pci", slot="0x03"))
    devices.append(xml_tree.E.disk(xml_tree.E.target(dev="vdz"), type="file", device="disk"))
    devices.append(xml_tree.E.watchdog(model="itco"))
    return root


def test_nothing_of_ours_changed() -> None:
    for spec in (DOMAIN, PROBE, UEFI, COMPATIBLE, ARM, ARM_DIRECT):
        assert domain_merge.merge(xml_tree.render(as_libvirt_has_it(DOMAIN)), DOMAIN, path_of) is None
        assert domain_merge.merge(domain_xml.build(spec, path_of), spec, path_of) is None


def test_our_changes_leave_the_rest_alone() -> None:
    current = xml_tree.render(as_libvirt_has_it(DOMAIN))
    bigger = dataclasses.replace(DOMAIN, memory_mib=1024, vcpus=2, max_vcpus=4, title="", accelerator="tcg")
    root = merged(current, bigger)
    assert (root.findtext("memory"), root.findtext("currentMemory")) == ("1048576", "1048576")
    vcpu = root.find("vcpu")
    assert vcpu is not None
    assert (vcpu.text, vcpu.get("current")) == ("4", "2")
    assert root.find("title") is None
    assert root.get("type") == "qemu"
    assert root.find("devices/watchdog") is not None
    assert root.find("devices/disk/target[@dev='vdz']") is not None
    assert root.find("os/type[@machine='pc-q35-7.2']") is not None
    title_back = merged(xml_tree.render(root), DOMAIN)
    assert [child.tag for child in title_back][:3] == ["name", "uuid", "title"]


def test_a_disk_keeps_its_address_and_one_of_ours_goes() -> None:
    current = xml_tree.render(as_libvirt_has_it(DOMAIN))
    moved = dataclasses.replace(DOMAIN.disks[0], volume="vm-2.qcow2")
    root = merged(current, dataclasses.replace(DOMAIN, disks=(moved,), nics=()))
    assert root.find("devices/disk/source[@file='/var/lib/libvirt/images/cs-1a2b3c4d/vm-2.qcow2']") is not None
    assert root.find("devices/disk/address[@slot='0x03']") is not None
    assert root.find("devices/disk[@device='cdrom']") is None
    assert root.find("devices/interface") is None


def test_boot_follows_the_spec() -> None:
    current = domain_xml.build(DOMAIN, path_of)
    root = merged(current, dataclasses.replace(DOMAIN, boot_order=("cdrom", "hd")))
    assert [boot.get("dev") for boot in root.iterfind("os/boot")] == ["cdrom", "hd"]
    direct = merged(current, dataclasses.replace(DOMAIN, direct_boot=PROBE.direct_boot))
    assert direct.findtext("os/cmdline") == "console=ttyS0"
    assert direct.find("os/boot[@dev='hd']") is not None  # libvirt would add it


def test_network_keeps_reservations_it_did_not_ask_for() -> None:
    current = network_xml.build_network(NETWORK)
    assert network_xml.merge_network(current, NETWORK) is None
    more = dataclasses.replace(
        NETWORK, mtu=1400, reservations=(DhcpReservation(mac="52:00:00:00:00:01", ip=IPv4Address("10.66.0.10")),)
    )
    changed = network_xml.merge_network(current, more)
    assert changed is not None
    reserved = network_xml.read_reservations(changed)
    assert reserved["52:00:00:00:00:01"] == IPv4Address("10.66.0.10")
    assert IPv4Address("10.66.0.11") in reserved.values()
    assert len(reserved) == 3
    assert list(network_xml.read_subnets(changed)) == [IPv4Network("10.66.0.0/24")]


# --- libvirt's own reading
SCHEMAS = Path("/usr/share/libvirt/schemas")
SCHEMA_OF = {"pool": "storagepool", "volume": "storagevol", "network": "network", "boot": "network", "domain": "domain"}


@pytest.mark.parametrize("name", [name for name in CASES if name.split("-")[0] in SCHEMA_OF])
def test_libvirts_schema_takes_it(name: str) -> None:
    if not SCHEMAS.exists():
        pytest.skip("libvirt's schemas are not installed")
    schema = etree.RelaxNG(etree.parse(SCHEMAS / f"{SCHEMA_OF[name.split('-')[0]]}.rng"))
    assert schema.validate(xml_tree.parse(CASES[name]())), schema.error_log.last_error


@pytest.mark.lab
def test_a_real_libvirt_takes_it(ssh_address: HostAddress, connection_settings: ConnectionSettings) -> None:
    """Validated, and defined; the lab has no KVM."""
    driver = LibvirtHypervisor(ssh_address, connection_settings, "1a2b3c4d")
    driver.facts()
    connection = libvirt.open(connection_uri(ssh_address, connection_settings))
    network = connection.networkDefineXML(CASES["network"]())
    tcg = dataclasses.replace(DOMAIN, accelerator="tcg")
    uefi = dataclasses.replace(tcg, firmware="uefi")
    for spec in (tcg, uefi, PROBE, COMPATIBLE, ARM, ARM_DIRECT, WITH_CD, ARM_WITH_CD, RESCUED):
        xml = domain_xml.build(spec, path_of)
        domain = connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        current = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        assert domain_merge.merge(current, spec, path_of) is None
        assert domain_xml.read(current).installation == "1a2b3c4d"
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    assert network_xml.merge_network(network.XMLDesc(0), NETWORK) is None
    network.undefine()
    connection.close()
    driver.close()


def test_libvirts_test_driver_takes_what_it_can() -> None:
    connection = libvirt.open("test:///default")
    pool = connection.storagePoolDefineXML(CASES["pool"](), 0)
    pool.create(0)
    assert pool.createXML(CASES["volume"](), 0).name() == "img-1.qcow2"
    assert pool.createXML(CASES["volume-overlay"](), 0).name() == "vm-1.qcow2"
    network = connection.networkDefineXML(CASES["network"]())
    assert network_xml.read_installation(network.XMLDesc(0)) == "1a2b3c4d"
    marker = connection.networkCreateXML(network_xml.build_boot_marker("marker-of-a-test", uuid4()))
    for made in (marker, network):
        if made.isActive():
            made.destroy()
    network.undefine()
    for volume in pool.listAllVolumes(0):
        volume.delete(0)
    pool.destroy()
    pool.undefine()
    connection.close()
