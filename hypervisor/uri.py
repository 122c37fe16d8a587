"""Assemble libvirt's connection URI from checked parts.

libvirt URIs can run programs (`command=`, `ext`) and switch verification off (`no_verify=`), so none is ever
taken from input. For `qemu+ssh` libvirt 9 ignores its own parameters for known hosts; trust therefore lives
in the ssh configuration our wrapper uses.
"""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlencode

from hypervisor.specs import ConnectionSettings, HostAddress


def authority_host(host: str) -> str:
    """The host as it stands in a URI: an IPv6 address in brackets."""
    try:
        return f"[{host}]" if isinstance(ip_address(host), IPv6Address) else host
    except ValueError:
        return host


def connection_uri(address: HostAddress, settings: ConnectionSettings) -> str:
    if address.transport == "local":
        if settings.local_socket is None:
            return "qemu:///system"
        return "qemu+unix:///system?" + urlencode({"socket": str(settings.local_socket)})
    authority = authority_host(address.host)
    if address.port is not None:
        authority = f"{authority}:{address.port}"
    if address.transport == "tls":
        return f"qemu+tls://{authority}/system?" + urlencode({"pkipath": str(settings.pki_path)})
    return f"qemu+ssh://{address.user}@{authority}/system?" + urlencode(
        {"keyfile": str(settings.key_file), "command": str(settings.ssh_command), "no_tty": "1"}
    )
