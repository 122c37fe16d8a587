"""libvirt's daemon: it belongs to the machine. We see to it that it runs and never stop it."""

from __future__ import annotations

import grp
import socket
import stat
import tempfile
from pathlib import Path

from bootstrap import machine
from bootstrap.accounts import Identity
from bootstrap.commands import CommandFailed, as_root, run
from bootstrap.console import step
from bootstrap.errors import BootstrapError
from bootstrap.waiting import wait_until

URI = "qemu:///system"
READ_ONLY_SOCKET = Path("/run/libvirt/libvirt-sock-ro")
CONFIGURATION = Path("/etc/libvirt/libvirtd.conf")
OUR_CONFIGURATION = machine.RECORD.with_name("libvirtd.conf")
GROUP_ACCESS = {"unix_sock_group": "libvirt", "unix_sock_rw_perms": "0770", "auth_unix_rw": "none"}
START_SECONDS = 60.0
KVM = Path("/dev/kvm")
UDEV = Path("/run/udev/control")
KVM_IS_OPENED = "give /dev/kvm to the group kvm, as udev does where it runs"


def kvm_is_closed() -> bool:
    """Whether nobody gave ``/dev/kvm`` to its group, as on a machine without udev.

    QEMU finds KVM then where libvirt does not expect it, so that libvirt takes what it knows of QEMU for outdated and
    asks all of them anew in almost every call: seconds instead of milliseconds. A mode that somebody chose stays.
    """
    if UDEV.exists() or not KVM.exists():
        return False
    found = KVM.stat()
    return stat.S_ISCHR(found.st_mode) and (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o600, 0, 0)


def open_kvm() -> None:
    """Do what udev's rule for it does; until the next boot, since the device is made anew by it."""
    if not kvm_is_closed() or "kvm" not in (group.gr_name for group in grp.getgrall()):
        return
    for command in (["chgrp", "kvm", str(KVM)], ["chmod", "660", str(KVM)]):
        if run(as_root(command), timeout=20, check=False).returncode != 0:
            return  # no root and no sudo: slow, but it works
    machine.add(devices=[str(KVM)])


def answers(identity: Identity | None = None) -> bool:
    """Whether the daemon takes a connection that may change things."""
    try:
        result = run(["virsh", "-q", "-c", URI, "uri"], timeout=20, check=False, identity=identity, cwd=Path("/"))
    except CommandFailed:
        return False
    return result.returncode == 0


def has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def ensure(identity: Identity) -> None:
    """Start the daemon if it is not running, and see that the service user may use it.

    :raises BootstrapError: when it does not come up, or refuses the user.
    """
    open_kvm()
    if answers(identity):
        return
    if not answers_root():
        with step("Starting libvirtd (it stays running: guests belong to the machine)"):
            start()
            if not wait_until(answers_root, timeout=START_SECONDS, poll=0.5):
                raise BootstrapError("libvirtd does not answer on qemu:///system; its log says why.")
    if not answers(identity):
        raise BootstrapError(
            f"libvirtd refuses the user {identity.name}; members of the group libvirt may use it, "
            "unless unix_sock_group in /etc/libvirt/libvirtd.conf says otherwise."
        )


def runs() -> bool:
    """Whether somebody listens (the daemon, or systemd for it), which anybody may find out."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        return probe.connect_ex(str(READ_ONLY_SOCKET)) == 0


def answers_root() -> bool:
    try:
        return run(as_root(["virsh", "-q", "-c", URI, "uri"]), timeout=20, check=False).returncode == 0
    except CommandFailed:
        return False


def start() -> None:
    if has_systemd():
        run(as_root(["systemctl", "start", "virtlogd.socket", "virtlockd.socket", "libvirtd"]), timeout=90)
        return
    # a daemon that runs already holds its pid file, and the second one ends at once; a list of processes
    # would also show those of other namespaces
    for daemon in ("virtlogd", "virtlockd"):
        run(as_root([daemon, "-d"]), timeout=60, check=False)
    run(as_root(["libvirtd", "-d", "--config", str(_group_configuration())]), timeout=60, check=False)


def _group_configuration() -> Path:
    """The machine's configuration, with access by group: without systemd there is no polkit to ask.

    What the administrator has set stays as set; the machine's own file is not changed.
    """
    text = CONFIGURATION.read_text() if CONFIGURATION.exists() else ""
    present = {line.split("=")[0].strip() for line in text.splitlines() if "=" in line}
    added = [f'{name} = "{value}"\n' for name, value in GROUP_ACCESS.items() if name not in present]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as source:
        source.write(text.rstrip("\n") + "\n" + "".join(added))
        source.flush()
        run(as_root(["install", "-D", "-m", "644", source.name, str(OUR_CONFIGURATION)]), timeout=20)
    return OUR_CONFIGURATION
