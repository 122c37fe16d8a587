"""A CD-ROM drive without its CD."""

from hypervisor import xml_tree


def emptied(text: str, path: str) -> str | None:
    """The drive with this file in it as libvirt shall have it: empty. None where it is in no drive."""
    for disk in xml_tree.parse(text).iterfind("devices/disk[@device='cdrom']"):
        source = disk.find("source")
        if source is not None and source.get("file") == path:
            disk.remove(source)
            return xml_tree.render(disk)
    return None
