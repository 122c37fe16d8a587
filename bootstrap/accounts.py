"""Who runs what: root only where root is needed, everything else as one unprivileged user."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from typing import Any

SERVICE_USER = "cloudsite"
SERVICE_GROUPS = ("libvirt", "kvm")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A user as the kernel sees it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def popen_arguments(self) -> dict[str, Any]:
        """Arguments for ``subprocess.Popen`` that drop root's rights; none when we are that user already."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups), "umask": 0o027}


def group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def identity_of(name: str) -> Identity:
    """Read the user from the system's own tables, with memberships given a moment ago included."""
    entry = pwd.getpwnam(name)
    groups = sorted(set(os.getgrouplist(name, entry.pw_gid)))
    return Identity(name=name, uid=entry.pw_uid, gid=entry.pw_gid, groups=tuple(groups), home=entry.pw_dir)


def invoking_user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def service_identity() -> Identity:
    """The dedicated user when root starts us, else whoever does."""
    return identity_of(SERVICE_USER if os.geteuid() == 0 else invoking_user())


def user_commands(name: str = SERVICE_USER) -> list[list[str]]:
    """The commands root has to run so that the service user exists with the groups it needs."""
    commands: list[list[str]] = []
    if not user_exists(name):
        commands.append(
            [
                *("useradd", "--system", "--user-group"),
                *("--no-create-home", "--home-dir", "/var/lib/cloudsite"),
                *("--shell", "/usr/sbin/nologin", "--comment", "Cloudsite control plane", name),
            ]
        )
    return commands + group_commands(name)


def group_commands(name: str) -> list[list[str]]:
    """The commands that add a user to the groups of libvirt and KVM it is not in yet."""
    wanted = [group for group in SERVICE_GROUPS if group_exists(group)]
    member_of = set(os.getgrouplist(name, pwd.getpwnam(name).pw_gid)) if user_exists(name) else set()
    missing = [group for group in wanted if grp.getgrnam(group).gr_gid not in member_of]
    return [["usermod", "--append", "--groups", ",".join(missing), name]] if missing else []


def group_name(gid: int) -> str:
    return grp.getgrgid(gid).gr_name
