"""``make uninstall``: take back what was changed, from the record of what was changed, and nothing else."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap import accounts, libvirtd, machine, packages, supervisor
from bootstrap.commands import CommandFailed, as_root, is_root, run
from bootstrap.console import say, step
from bootstrap.errors import BootstrapError
from bootstrap.root_tasks import get_ticket
from bootstrap.settings import Settings, installations_of, load

SECONDS = 60.0
PURGE_SECONDS = 900.0
POOLS = Path("/var/lib/libvirt/images")
OUR_NAME = re.compile(r"cs-[0-9a-f]{8}[a-z0-9-]*")
DAEMON_PID_FILES = ("/run/libvirtd.pid", "/run/virtlockd.pid", "/run/virtlogd.pid")
MARKS = ("settings.env", "supervisor")
"""What a directory must hold before it is taken for a state directory and removed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be taken back, and what stays and why."""

    state_dir: Path | None
    networks: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    memberships: tuple[tuple[str, str], ...] = ()
    devices: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """The preview."""
        found = [f"remove the systemd unit {name}" for name in self.units]
        found += [f"remove the libvirt network {name}" for name in self.networks]
        found += [f"remove the libvirt pool {name} with its copies of images" for name in self.pools]
        if self.state_dir is not None:
            found.append(f"remove {self.state_dir} with the database, the keys and the logs")
        if self.packages:
            found.append(f"remove {len(self.packages)} Debian packages: {' '.join(self.packages)}")
        found += [f"take {user} out of the group {group}" for user, group in self.memberships]
        found += [f"give {name} back to root alone" for name in self.devices]
        return found + [f"remove the user {name}" for name in self.users]


def start(arguments: Sequence[str]) -> int:
    """The command: look, show, ask, take back."""
    settings = load()
    plan = make_plan(settings)
    if not plan.sentences():
        say("There is nothing to take back.")
        return 0
    say("This takes back what Cloudsite changed on this machine. It will:")
    for sentence in plan.sentences():
        say(f"  {sentence}")
    for sentence in plan.stays:
        say(f"  (stays) {sentence}")
    if not agreed("--yes" in arguments):
        raise BootstrapError("Nothing was removed.")
    if not is_root():
        get_ticket("The password of %u for sudo: ")
    supervisor.stop_running(settings.pid_dir)
    take_back(plan, settings)
    return 0


def agreed(already: bool) -> bool:
    """Removing is only done on a clear yes; a script says it with ``--yes`` or ``CLOUDSITE_YES=1``."""
    if already or os.environ.get("CLOUDSITE_YES") == "1":
        return True
    if not sys.stdin.isatty():
        return False
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")


def make_plan(settings: Settings, record: Path = machine.RECORD) -> Plan:
    """What there is to take back for this state directory; the machine's part only with the last one."""
    changes = machine.read(record)
    ours = str(settings.state_dir)
    others = [path for path in changes.installations if path != ours and Path(path).is_dir()]
    state_dir = settings.state_dir if all((settings.state_dir / mark).exists() for mark in MARKS) else None
    networks, pools, guests = libvirt_objects(installations_of(settings))
    stays: list[str] = []
    if guests:
        stays.append(f"the network and pool, because {len(guests)} virtual machines use them: {' '.join(guests)}")
        networks, pools = [], []
    units = tuple(name for name in changes.units if unit_is_ours(name, settings))
    base = Plan(state_dir=state_dir, networks=tuple(networks), pools=tuple(pools), units=units)
    if others:
        stays.append(f"packages and users, because another installation uses them: {' '.join(others)}")
        return replace(base, stays=tuple(stays))
    removable, kept = removable_packages(changes.packages, guests=guests)
    return replace(
        base,
        packages=tuple(removable),
        users=tuple(name for name in changes.users if accounts.user_exists(name)),
        memberships=changes.memberships,
        devices=tuple(name for name in changes.devices if Path(name).exists()),
        stays=(*stays, *kept),
    )


def _virsh_command(*words: str) -> list[str]:
    """Through the libvirt group where we are in it: looking should not need a password."""
    command = ["virsh", "-q", "-c", libvirtd.URI, *words]
    return command if libvirtd.answers() else as_root(command)


def _virsh(*words: str) -> str:
    return run(_virsh_command(*words), timeout=SECONDS).stdout


def libvirt_objects(installations: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Networks, pools and guests of installations; nothing where libvirt is gone or never was."""
    if not installations or not (libvirtd.answers() or libvirtd.answers_root()):
        return [], [], []
    prefixes = tuple(f"cs-{installation}" for installation in installations)
    networks, pools = (
        [name.strip() for name in _virsh(command, "--all", "--name").splitlines() if name.startswith(prefixes)]
        for command in ("net-list", "pool-list")
    )
    definitions = [_virsh("dumpxml", guest) for guest in _guests()]
    names = [
        re.findall(r"<name>(.*?)</name>", text) for text in definitions if any(one in text for one in installations)
    ]
    return networks, pools, [found[0] for found in names if found]


def _guests() -> list[str]:
    """The ids of all guests; virsh may print words of its own around them."""
    return re.findall(r"^([0-9a-f-]{36})\s*$", _virsh("list", "--all", "--uuid"), re.MULTILINE)


def unit_is_ours(name: str, settings: Settings) -> bool:
    path = Path("/etc/systemd/system") / name
    return path.exists() and str(settings.state_dir) in path.read_text()


def removable_packages(recorded: Sequence[str], *, guests: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of the packages that came with us those that nothing else needs by now, and sentences about the rest."""
    present = sorted(packages.installed() & set(recorded))
    stays: list[str] = []
    if not present:
        return [], stays
    if guests or _any_guests():
        present = []
        stays.append("the packages, because virtual machines on this machine use libvirt and QEMU")
    elif any(Path("/etc/postgresql").glob("*/*/postgresql.conf")):
        stays.append("PostgreSQL, because a cluster was made with it")
        present = [name for name in present if "postgresql" not in name and name != "libpq5"]
    if not present:
        return [], stays
    simulated = run(["apt-get", "-s", "purge", *present], timeout=SECONDS, check=False)
    if simulated.returncode != 0:
        return [], [*stays, "the packages, because parts of the system itself need them by now"]
    affected = set(re.findall(r"^(?:Purg|Remv) (\S+)", simulated.stdout, re.MULTILINE))
    foreign = sorted(affected - set(present))
    if foreign:
        stays.append(f"the packages, because these need them: {' '.join(foreign)}")
        return [], stays
    return present, stays


def _any_guests() -> bool:
    return libvirtd.answers_root() and bool(_guests())


def take_back(plan: Plan, settings: Settings) -> None:
    """Each part on its own: one that fails is reported and does not keep the next from being tried."""
    problems: list[str] = []

    def attempt(command: Sequence[str], timeout: float = SECONDS) -> None:
        try:
            run(as_root(command, {"DEBIAN_FRONTEND": "noninteractive"}), timeout=timeout)
        except CommandFailed as error:
            problems.append(str(error))

    with step("Taking back"):
        _units(plan, attempt)
        _libvirt(plan)
        for user, group in plan.memberships:  # before the packages, which take their groups with them
            attempt(["gpasswd", "--delete", user, group])
        if plan.packages:
            _daemons(plan)
            attempt(["apt-get", "-qq", "-y", "purge", *plan.packages], PURGE_SECONDS)
        for name in plan.devices:
            attempt(["chown", "root:root", name])
            attempt(["chmod", "600", name])
        for name in plan.users:
            attempt(["userdel", name])
        if plan.state_dir is not None:
            attempt(["rm", "-rf", "--one-file-system", str(plan.state_dir)])
        _forget(plan, settings)
    if problems:
        raise BootstrapError("Some of it stays:\n" + "\n".join(problems))


def _units(plan: Plan, attempt: object) -> None:
    if not plan.units or not callable(attempt):
        return
    if libvirtd.has_systemd():
        attempt(["systemctl", "disable", "--now", *plan.units])
    attempt(["rm", "-f", *(f"/etc/systemd/system/{name}" for name in plan.units)])
    if libvirtd.has_systemd():
        attempt(["systemctl", "daemon-reload"])


def _libvirt(plan: Plan) -> None:
    """Stop and undefine; what is stopped already only needs the second."""
    for kind, names in (("net", plan.networks), ("pool", plan.pools)):
        for name in names:
            for verb in ("destroy", "undefine"):
                run(_virsh_command(f"{kind}-{verb}", name), timeout=SECONDS, check=False)
    for name in plan.pools:
        if OUR_NAME.fullmatch(name):
            run(as_root(["rm", "-rf", "--one-file-system", str(POOLS / name)]), timeout=SECONDS, check=False)


def _daemons(plan: Plan) -> None:
    """Without systemd nobody else stops the daemons whose package goes."""
    if "libvirt-daemon" not in plan.packages or libvirtd.has_systemd():
        return
    for path in DAEMON_PID_FILES:
        if Path(path).exists():
            # the shell's own kill: a bare Debian has no program of that name
            number = str(int(Path(path).read_text().strip()))
            run(as_root(["sh", "-c", f"kill {number}"]), timeout=SECONDS, check=False)


def _forget(plan: Plan, settings: Settings) -> None:
    changes = machine.read()
    rest = replace(
        changes,
        packages=tuple(name for name in changes.packages if name not in plan.packages),
        users=tuple(name for name in changes.users if name not in plan.users),
        memberships=tuple(pair for pair in changes.memberships if pair not in plan.memberships),
        units=tuple(name for name in changes.units if name not in plan.units),
        devices=tuple(name for name in changes.devices if name not in plan.devices),
        installations=tuple(path for path in changes.installations if path != str(settings.state_dir)),
    )
    if rest == machine.Changes():
        run(as_root(["rm", "-f", str(machine.RECORD), str(libvirtd.OUR_CONFIGURATION)]), timeout=SECONDS)
        directory = str(machine.RECORD.parent)
        run(as_root(["rmdir", "--ignore-fail-on-non-empty", directory]), timeout=SECONDS, check=False)
    else:
        machine.write(rest)
