"""From a host's row to its hypervisor. Connections are kept per process, opened after the fork."""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.hosts.models import Host, HostStatus, Transport
from apps.hosts.selectors import installation_id
from apps.operations import timeouts
from hypervisor import known_hosts
from hypervisor.interface import Hypervisor
from hypervisor.known_hosts import HostKey
from hypervisor.specs import ConnectionSettings, HostAddress
from workers.engine import Postpone

if TYPE_CHECKING:
    from hypervisor.libvirt_driver import DriverCache


def connection_settings() -> ConnectionSettings:
    """Keys and known hosts in the state directory, and the time limits of ``timeouts``."""
    socket = os.environ.get("CLOUDSITE_LIBVIRT_SOCKET")
    return ConnectionSettings(
        directory=Path(settings.STATE_DIR) / "keys",
        call_timeout=timeouts.HOST_CALL,
        local_socket=Path(socket) if socket else None,
    )


def address_of(host: Host) -> HostAddress:
    """Where the host is, as the hypervisor package wants it: parts, never a URI."""
    return HostAddress(transport=host.transport, host=host.address, user=host.user, port=host.port)  # type: ignore[arg-type]  # Django's choices are plain strings to mypy


def connect(host: Host) -> Hypervisor:
    """The hypervisor of a host, whether or not it is thought to be up. Nothing is sent yet."""
    if settings.HYPERVISOR == "fake":
        from hypervisor.fake import FakeHost, FakeHypervisor

        return FakeHypervisor(FakeHost(fake_dir(), host.name), installation_id())
    address, drivers = address_of(host), _drivers()
    if host.transport == Transport.SSH and _pin(host, address):
        drivers.forget(address)
    return drivers.get(address)


@functools.cache
def _drivers() -> "DriverCache":
    """The kept connections of this process; idle ones are closed."""
    from hypervisor.libvirt_driver import DriverCache

    return DriverCache(connection_settings(), installation_id())


def _pin(host: Host, address: HostAddress) -> bool:
    """Have the key that a person confirmed, and no other, in the known hosts of this machine.

    Returns whether another one was there, or none.
    """
    file = connection_settings().known_hosts
    kind, text = host.host_key.split()
    key = HostKey(kind=kind, base64=text)
    if known_hosts.pinned_key(file, address) == key:
        return False
    known_hosts.pin(file, address, key)
    return True


def fake_dir() -> Path:
    """Where the fake hosts of the tests keep their state."""
    path = Path(settings.STATE_DIR) / "fake"
    path.mkdir(exist_ok=True)
    return path


def hypervisor_for(host: Host) -> Hypervisor:
    """The hypervisor of a host that is up; one known to be away is not called at all.

    This is the circuit breaker: whoever wants an unreachable host, or one that nobody trusts yet or any more,
    waits in the queue, and the reconcile alone knocks. Raises ``Postpone``.
    """
    host.refresh_from_db(fields=["status", "reason"])
    if host.status != HostStatus.UP:
        state = f"{host.get_status_display().lower()}: {host.reason}" if host.reason else host.get_status_display()
        raise Postpone(f"{host.name} is not usable ({state})", seconds=timeouts.back_off(3))
    return connect(host)
