"""Bring an existing definition to what a spec says, and change nothing else."""

from hypervisor import xml_tree
from hypervisor.domain_xml import ALIAS, PathOf, build, ports
from hypervisor.specs import DomainSpec
from hypervisor.xml_tree import Element

_PARTS = ("title", "memory", "currentMemory", "vcpu", "cpu")
_BOOT = ("kernel", "initrd", "cmdline", "boot")
_AFTER_TITLE = ("uuid", "genid")  # the elements a new title follows in libvirt's schema


def merge(current: str, spec: DomainSpec, path_of: PathOf, *, domain_type: str | None = None) -> str | None:
    """The changed definition, or None when nothing of ours differs. Our metadata is not looked at: it has its
    own call.
    """
    actual = xml_tree.parse(current)
    wanted = xml_tree.parse(build(spec, path_of, domain_type=domain_type))
    changes = [
        _merge_type(actual, wanted),
        *(_merge_part(actual, wanted, tag) for tag in _PARTS),
        _merge_boot(actual, wanted),
        _merge_ports(actual, wanted),
        _merge_devices(actual, wanted, "disk", "target", "dev"),
        _merge_devices(actual, wanted, "interface", "mac", "address"),
    ]
    return xml_tree.render(actual) if any(changes) else None


def _merge_type(actual: Element, wanted: Element) -> bool:
    if actual.get("type") == wanted.get("type"):
        return False
    actual.set("type", wanted.get("type", ""))
    return True


def _merge_part(actual: Element, wanted: Element, tag: str) -> bool:
    old, new = actual.find(tag), wanted.find(tag)
    if old is None and new is None:
        return False
    same_current = old is not None and new is not None and old.get("current") == new.get("current")
    if new is not None and same_current and xml_tree.contains(old, new):
        return False
    if old is not None and new is not None:
        actual.replace(old, new)
        if tag == "vcpu":  # the list of single vCPUs that a hot-plug leaves says how many there are, too
            for each in actual.findall("vcpus"):
                actual.remove(each)
    elif old is not None:
        actual.remove(old)
    elif new is not None:
        before = [child for name in _AFTER_TITLE for child in actual.findall(name)]
        before[-1].addnext(new) if before else actual.insert(0, new)
    return True


def _merge_boot(actual: Element, wanted: Element) -> bool:
    """Machine and firmware are settled at the first definition: libvirt turns `q35` into a version, and a
    guest keeps it.
    """
    old, new = actual.find("os"), wanted.find("os")
    if old is None or new is None:
        return False
    before = [(child.tag, child.get("dev"), child.text) for child in old if child.tag in _BOOT]
    after = [(child.tag, child.get("dev"), child.text) for child in new if child.tag in _BOOT]
    if sorted(before, key=repr) == sorted(after, key=repr) and [b for b in before if b[1]] == [
        a for a in after if a[1]
    ]:
        return False
    for child in [child for child in old if child.tag in _BOOT]:
        old.remove(child)
    old.extend([child for child in new if child.tag in _BOOT])
    return True


def _merge_ports(actual: Element, wanted: Element) -> bool:
    """A guest from before there were spare ports gets them; more than enough are left as they are."""
    have, want = (len(root.findall("devices/controller[@model='pcie-root-port']")) for root in (actual, wanted))
    devices = actual.find("devices")
    if devices is None or have >= want:
        return False
    taken = (int(controller.get("index", "0")) for controller in devices.findall("controller[@type='pci']"))
    first = max(taken, default=0) + 1
    devices.extend(ports(range(first, first + want - have)))
    return True


def _merge_devices(actual: Element, wanted: Element, tag: str, key: str, attribute: str) -> bool:
    devices, new_devices = actual.find("devices"), wanted.find("devices")
    if devices is None or new_devices is None:
        return False

    def identity(device: Element) -> str:
        part = device.find(key)
        return "" if part is None else part.get(attribute, "").lower()

    old = {identity(device): device for device in devices.findall(tag)}
    new = {identity(device): device for device in new_devices.findall(tag)}
    changed = False
    for name, device in new.items():
        if name not in old:
            devices.append(device)
            changed = True
        elif not xml_tree.contains(old[name], device):
            _keep_address(old[name], device)
            devices.replace(old[name], device)
            changed = True
    for name, device in old.items():
        if name not in new and _alias(device).startswith(ALIAS):
            devices.remove(device)
            changed = True
    return changed


def _alias(device: Element) -> str:
    alias = device.find("alias")
    return "" if alias is None else alias.get("name", "")


def _keep_address(old: Element, new: Element) -> None:
    """The guest knows a device by its address, unless it moves to another bus."""
    address = old.find("address")
    old_target, new_target = old.find("target"), new.find("target")
    same_bus = old.tag == "interface" or (
        old_target is not None and new_target is not None and old_target.get("bus") == new_target.get("bus")
    )
    if address is not None and same_bus:
        new.append(address)
