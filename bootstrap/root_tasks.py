"""Everything root does on the machine before the first start: previewed, asked for once, recorded."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bootstrap import accounts, machine, packages
from bootstrap.commands import as_root, is_root, run
from bootstrap.console import confirm, say
from bootstrap.errors import BootstrapError

ENTERED = "CLOUDSITE_GROUPS_ENTERED"


def account_name() -> str:
    return accounts.SERVICE_USER if is_root() else accounts.invoking_user()


def prepare_machine(wanted: Sequence[str], *, purpose: str, also: Sequence[str] = ()) -> None:
    """Install what is missing and give the user its groups; nothing at all when the machine is ready.

    :param also: further sentences for the preview, about what root does later in the same run.
    :raises BootstrapError: when the person says no or sudo does.
    """
    lacking = packages.missing(wanted)
    name = account_name()
    user_steps = accounts.user_commands(name)
    agreed = os.environ.get(ENTERED) == "1"  # asked before this process was started again in its new groups
    if agreed or not (lacking or user_steps or also):
        return
    say(f"To {purpose}, root will do the following on this machine:")
    if lacking:
        say(f"  install {len(lacking)} Debian packages, starting no service: {' '.join(lacking)}")
    for command in user_steps:
        say(f"  {shlex.join(command)}")
    if lacking and not is_root():
        say(f"  add {name} to the groups {' and '.join(accounts.SERVICE_GROUPS)}")
    for sentence in also:
        say(f"  {sentence}")
    get_consent()
    if lacking:
        machine.add(packages=packages.install(lacking))
    change_user(name)


def change_user(name: str) -> None:
    """Make the service user if it is missing, and give it the groups that exist by now."""
    if not accounts.user_exists(name):
        run(as_root(accounts.user_commands(name)[0]), timeout=60)
        machine.add(users=[name])
    for command in accounts.group_commands(name):
        run(as_root(command), timeout=60)
        if name != accounts.SERVICE_USER:
            machine.add(memberships=[(name, group) for group in command[3].split(",")])


def get_consent() -> None:
    """One question at most: sudo's password prompt is the question where there is one.

    :raises BootstrapError: when the answer is no.
    """
    if is_root() or asks_nothing():
        if not confirm("Go on?"):
            raise BootstrapError("Nothing was changed.")
        return
    get_ticket("Go on? The password of %u for sudo (Ctrl-C: change nothing): ")


def asks_nothing() -> bool:
    """Whether sudo runs a command without a password: by a rule, or since it asked a moment ago.

    ``sudo -v`` does not tell: it wants a password as soon as one rule of the user's does, like that of the group sudo.
    """
    return run(["sudo", "-n", "true"], timeout=20, check=False).returncode == 0


def get_ticket(prompt: str) -> None:
    """Let sudo ask for the password now if it has to, so that what follows runs through.

    In our own process group: a program in another one may not read from the terminal.

    :raises BootstrapError: when sudo refuses.
    """
    if asks_nothing():
        return
    asked = subprocess.run(["sudo", "-p", prompt, "-v"], timeout=300, check=False)
    if asked.returncode != 0:
        raise BootstrapError("sudo refused; nothing was changed.")


def enter_new_groups(arguments: Sequence[str]) -> None:
    """Start again inside a group that was given a moment ago; a login session knows only its old ones.

    ``sg`` reads the group table afresh. The inner ``sg`` goes back to the user's own main group, so that
    new files do not end up in libvirt's. Does not return when it was necessary.
    """
    identity = accounts.identity_of(account_name())
    missing = set(identity.groups) - {*os.getgroups(), os.getegid()}
    if is_root() or not missing or os.environ.get(ENTERED) == "1":
        return
    os.environ[ENTERED] = "1"
    command = shlex.join([str(Path("/usr/bin/python3")), "-m", "bootstrap", *arguments])
    for group in (accounts.group_name(identity.gid), *(accounts.group_name(gid) for gid in missing)):
        command = shlex.join(["sg", group, "-c", f"exec {command}"])
    os.execvp("sg", shlex.split(command))  # noqa: S606 - the point is to replace this process
