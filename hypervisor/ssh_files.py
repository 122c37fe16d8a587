"""The configuration and the wrapper with which libvirt (and we) run the system's `ssh`.

libvirt calls the wrapper as it would call `ssh`; the wrapper adds our own configuration file, so that nothing
of the service user's or the machine's own ssh configuration takes part: not its keys, not its known hosts,
not its proxies.
"""

import os
import shlex
import tempfile
from pathlib import Path

from hypervisor.specs import ConnectionSettings


def ssh_config(settings: ConnectionSettings) -> str:
    """Only the pinned key of a host is accepted, only our key is offered, nobody is ever asked."""
    return "\n".join(
        [
            "Host *",
            "  BatchMode yes",
            "  StrictHostKeyChecking yes",
            f"  UserKnownHostsFile {_quoted(Path(settings.known_hosts.name))}",
            "  GlobalKnownHostsFile /dev/null",
            "  UpdateHostKeys no",
            "  CheckHostIP no",
            f"  IdentityFile {_quoted(settings.key_file)}",
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            "  PreferredAuthentications publickey",
            "  ForwardAgent no",
            "  ForwardX11 no",
            "  ClearAllForwardings yes",
            "  PermitLocalCommand no",
            "  ControlPath none",
            "  LogLevel ERROR",
            f"  ConnectTimeout {settings.connect_timeout}",
            f"  ServerAliveInterval {settings.keepalive_interval}",
            f"  ServerAliveCountMax {settings.keepalive_count}",
            "",
        ]
    )


def _quoted(path: Path) -> str:
    text = str(path)
    if '"' in text or "%" in text or "\n" in text:
        raise ValueError(f"ssh cannot name this file: {text!r}")
    return f'"{text}"'


def ssh_wrapper(settings: ConnectionSettings) -> str:
    """It goes to the directory first, so that ssh names short files: of more than 1024 bytes of complaint libvirt
    tells nothing (`virNetSocketReadWire`), and a changed host key would look like a host that is away."""
    directory, config = shlex.quote(str(settings.directory)), shlex.quote(str(settings.ssh_config))
    return f'#!/bin/sh\ncd -- {directory} && exec ssh -F {config} "$@"\n'


def ensure_ssh_files(settings: ConnectionSettings) -> None:
    """Write configuration and wrapper where they differ; safe beside other processes that do the same."""
    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(settings.ssh_config, ssh_config(settings), 0o600)
    _replace(settings.ssh_command, ssh_wrapper(settings), 0o700)


def _replace(path: Path, text: str, mode: int) -> None:
    if path.exists() and path.read_text() == text:
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
    Path(temporary).replace(path)
