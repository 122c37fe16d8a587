"""First process of a lab host, inside new namespaces: `python3 -m lab.hostinit CONFIGURATION.json`."""

import json
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

from lab import inside

LIBVIRT_DAEMONS = ("/usr/sbin/virtlogd", "/usr/sbin/virtlockd")


def main(configuration: Path) -> None:
    """Build the host around this process, start its daemons, then reap children."""
    settings: dict[str, Any] = json.loads(configuration.read_text())
    socket.sethostname(settings["name"])
    inside.mount_system()
    inside.bind(settings["binds"])
    for target, mode in (("/tmp", "1777"), ("/run", "0755")):  # noqa: S108 - the host's own, mounted here
        inside.mount_tmpfs(target, mode=mode)
    for name in ("lock", "sshd", "libvirt"):
        Path("/run", name).mkdir()
    _hide(settings["hidden"])
    _new_boot_id()
    inside.configure_network(address=settings["address"], gateway=settings["gateway"])
    for daemon in LIBVIRT_DAEMONS:
        inside.command(daemon, "-d")
    inside.command(*settings["libvirtd"])
    inside.daemon(["/usr/sbin/sshd", "-D", "-e"], log="/var/log/sshd.log")
    Path("/run/started").touch()
    inside.reap_for_ever()


def _hide(devices: list[str]) -> None:
    """Put a device that nobody may open in the place of each.

    With /dev/null in the place of /dev/kvm libvirt believes in KVM, since QEMU's user can open it; QEMU says no,
    and libvirt asks every QEMU anew before each define: 8 s (measured, libvirt 9.0).
    """
    for device in devices:
        if Path(device).exists():
            closed = f"/run/no-{Path(device).name}"
            inside.command("mknod", "-m", "000", closed, "c", "1", "3")
            inside.command("mount", "--bind", closed, device)


def _new_boot_id() -> None:
    """Every start of the host is a boot of its own, and says so where Linux says it."""
    path = Path("/run/boot_id")
    path.write_text(f"{uuid.uuid4()}\n")
    inside.command("mount", "--bind", str(path), "/proc/sys/kernel/random/boot_id")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
