"""A small guest for the lab's own tests, as plain libvirt XML."""

import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import Host
from lab.process import wait_until

BOOT_SECONDS = 60
NETWORK = """
<network><name>{name}</name><forward mode="nat"/><bridge name="{name}"/>
  <ip address="192.168.77.1" netmask="255.255.255.0">
    <dhcp><range start="192.168.77.10" end="192.168.77.99"/></dhcp></ip></network>
"""
DOMAIN = """
<domain type="qemu"><name>{name}</name><memory unit="MiB">128</memory><vcpu>1</vcpu>
  <os><type machine="q35">hvm</type></os><features><acpi/></features><cpu mode="maximum"/>
  <devices>
    <disk type="file" device="disk"><driver name="qemu" type="qcow2"/>
      <source file="{disk}"/><target dev="vda" bus="virtio"/></disk>
    <interface type="network"><source network="{network}"/><model type="virtio"/></interface>
    <serial type="pty"><log file="{log}"/></serial>
  </devices></domain>
"""


class Guest:
    """A guest on a NAT network of its own."""

    def __init__(self, host: Host, *, name: str, network: str) -> None:
        self.host = host
        self.name = name
        self.network = network
        self.log = f"/var/log/libvirt/qemu/{name}-serial.log"

    def state(self) -> str:
        """As virsh says it."""
        return self.host.virsh("domstate", self.name)

    def address(self) -> str:
        """The leased address, or nothing yet."""
        words = self.host.virsh("domifaddr", self.name, "--source", "lease").split()
        return words[-1].split("/")[0] if words else ""

    def console(self) -> str:
        """All that came out of the serial port."""
        return self.host.run("cat", self.log, check=False).stdout

    def get(self, path: str) -> str:
        """What the guest's web server answers, asked from its host; nothing if it does not."""
        code = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=15).read().decode())"
        done = self.host.run("/usr/bin/python3", "-c", code, f"http://{self.address()}/{path}", check=False)
        return done.stdout if done.returncode == 0 else ""

    def wait_booted(self) -> None:
        """Wait until the guest has an address and answers on it."""
        wait_until(lambda: bool(self.address()), timeout=BOOT_SECONDS, what="a DHCP lease")
        wait_until(lambda: bool(self.get("")), timeout=BOOT_SECONDS, what="an answer of the guest")


@contextmanager
def running_guest(host: Host, image: Path, *, name: str = "guest") -> Iterator[Guest]:
    """Define and start a guest from `image`; afterwards nothing of it is left."""
    network = f"n-{name}"
    disk = f"/var/lib/libvirt/images/{name}.qcow2"
    guest = Guest(host, name=name, network=network)
    shutil.copyfile(image, host.path(disk))
    _apply(host, "net-define", NETWORK.format(name=network))
    _apply(host, "define", DOMAIN.format(name=name, disk=disk, network=network, log=guest.log))
    try:
        host.virsh("net-start", network)
        host.virsh("start", name)
        yield guest
    finally:
        host.virsh("destroy", name, check=False)
        host.virsh("undefine", name, check=False)
        host.virsh("net-destroy", network, check=False)
        host.virsh("net-undefine", network, check=False)
        host.run("rm", "-f", disk, guest.log)


def _apply(host: Host, verb: str, xml: str) -> None:
    ET.fromstring(xml)  # noqa: S314 - our own text: a typo should fail here, not in virsh
    host.run("tee", "/root/object.xml", text=xml)
    host.virsh(verb, "/root/object.xml")
