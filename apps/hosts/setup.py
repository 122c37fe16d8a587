"""What a person runs on a new host before we can use it."""

import shlex
from pathlib import Path
from typing import Any

from apps.hosts.certificates import ca_ensure, certificate_issue, client_dn, ssh_key_ensure
from apps.hosts.models import Host, Transport

PACKAGES = (
    "apt-get install -y --no-install-recommends libvirt-daemon-system qemu-system-x86 ovmf qemu-utils dnsmasq-base"
)

HOOK_SOURCE = Path(__file__).resolve().parents[2] / "deploy" / "libvirt" / "network-hook"
HOOK = Path("/etc/libvirt/hooks/network.d/50-cloudsite")
RESTART_LIBVIRTD = (
    "if [ -d /run/systemd/system ]; then systemctl try-restart libvirtd.service virtnetworkd.service; "
    "else pkill -x libvirtd; sleep 1; libvirtd -d; fi"
)
# With systemd libvirtd's TLS port is a socket unit; without it libvirtd listens itself.
RESTART = (
    "if [ -d /run/systemd/system ]; then systemctl stop libvirtd.service; "
    "systemctl enable --now libvirtd-tls.socket; systemctl start libvirtd.service; "
    "else pkill -x libvirtd; sleep 1; libvirtd -d --listen; fi"
)


def setup_for(host: Host) -> dict[str, Any]:
    """Commands for the host, as root; the TLS ones hold a new private key and are shown this once."""
    if host.transport == Transport.SSH:
        return _ssh(host)
    if host.transport == Transport.TLS:
        return _tls(host)
    return {"commands": []}


def _ssh(host: Host) -> dict[str, Any]:
    key = ssh_key_ensure()
    home = "/root" if host.user == "root" else f"/home/{host.user}"
    commands = [
        PACKAGES,
        f"install -d -m 0700 -o {host.user} {home}/.ssh",
        f"echo {shlex.quote(key)} >> {home}/.ssh/authorized_keys",
    ]
    if host.user != "root":
        commands.append(f"usermod -a -G libvirt {host.user}")
    return {"public_key": key, "commands": [*commands, *forwarding_commands()]}


def _tls(host: Host) -> dict[str, Any]:
    issued = certificate_issue(common_name=host.address, names=[host.address], server=True)
    config = f'listen_tls = 1\ntls_allowed_dn_list = ["{client_dn()}"]\n'
    commands = [
        PACKAGES,
        "install -d -m 0755 /etc/pki/CA /etc/pki/libvirt",
        "install -d -m 0750 /etc/pki/libvirt/private",
        _file("/etc/pki/CA/cacert.pem", ca_ensure().read_text()),
        _file("/etc/pki/libvirt/servercert.pem", issued.certificate),
        f"umask 077; {_file('/etc/pki/libvirt/private/serverkey.pem', issued.key)}",
        f"printf %s {shlex.quote(config)} >> /etc/libvirt/libvirtd.conf",
        *forwarding_commands()[:-1],
        RESTART,
    ]
    return {
        "allowed_dn": client_dn(),
        "ca_certificate": ca_ensure().read_text(),
        "server_certificate": issued.certificate,
        "server_key": issued.key,
        "commands": commands,
    }


def forwarding_commands() -> list[str]:
    """What a host needs for port forwards: libvirt runs a hook of ours, which it looks for when it starts.

    Guests do not notice a restart of libvirtd.
    """
    return [
        "apt-get install -y --no-install-recommends nftables",
        f"install -d -m 0755 {HOOK.parent}",
        f"{_file(str(HOOK), HOOK_SOURCE.read_text())} && chmod 0755 {HOOK}",
        RESTART_LIBVIRTD,
    ]


def _file(path: str, content: str) -> str:
    return f"printf %s {shlex.quote(content)} > {path}"
