"""How a person reaches a VM, as commands to copy."""

from dataclasses import dataclass

from apps.accounts.models import User
from apps.compute.models import VM
from apps.hosts.models import Transport

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Way:
    """One command, and from where it works."""

    key: str
    where: str
    command: str


def ways_to(*, vm: VM, ip: str, actor: User, site: str) -> list[Way]:
    """SSH on the host itself, and through the host from elsewhere: the guests' network lies behind it.

    ``site`` is the name under which the dashboard was reached; the local host has the same address. Addresses
    of other hosts are for admins, others see the host's name.
    """
    if vm.host is None:
        return []
    login = f"{vm.image.default_user or 'root'}@{ip}" if vm.image else f"root@{ip}"
    direct = Way(key="direct", where=f"On the host {vm.host.name}", command=f"ssh {login}")
    jump = _jump(vm, actor, site)
    if jump is None:
        return [direct]
    return [
        direct,
        Way(key="jump", where="From your computer, through the host", command=f"ssh -J {jump} {login}"),
    ]


def _jump(vm: VM, actor: User, site: str) -> str | None:
    host = vm.host
    if host is None:
        return None
    if host.transport == Transport.LOCAL:
        return None if site in LOOPBACK else f"you@{site}"
    if not actor.is_admin:
        return f"you@{host.name}"
    address = f"[{host.address}]" if ":" in host.address else host.address
    port = f":{host.port}" if host.port and host.transport == Transport.SSH else ""
    return f"{host.user or 'you'}@{address}{port}"
