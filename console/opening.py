"""Opening a console on its host, and finding out afterwards why it ended. Everything here blocks."""

import structlog

from apps.compute.models import ConsoleKind, ConsoleTicket
from apps.compute.selectors.console import is_taken_over
from apps.hosts.models import HostStatus
from console.ending import Ended, Ending
from console.far_end import Screen, Serial
from hypervisor.errors import HostUnreachable, HypervisorError, NotFound, Rejected, TrustError, Unsupported
from hypervisor.interface import Hypervisor
from hypervisor.specs import Power
from workers.connections import connect

log = structlog.get_logger(__name__)
_UP = (Power.RUNNING, Power.PAUSED)


def open_far_end(ticket: ConsoleTicket) -> Serial | Screen:
    """The console that a redeemed ticket names. The domain is found by its UUID and has to carry our mark."""
    try:
        hypervisor = _hypervisor(ticket)
        if ticket.kind == ConsoleKind.SERIAL:
            return Serial(lambda sink: hypervisor.open_console(ticket.vm_id, sink))
        return Screen(hypervisor.open_screen(ticket.vm_id))
    except HypervisorError as error:
        log.info("console.not_opened", vm=str(ticket.vm_id), kind=ticket.kind, reason=error.detail)
        raise Ended(_ending_of(error)) from error


def _hypervisor(ticket: ConsoleTicket) -> Hypervisor:
    host = ticket.vm.host
    if host is None:
        raise Ended(Ending.GONE)
    if host.status != HostStatus.UP:
        raise Ended(Ending.UNREACHABLE)
    return connect(host)


def _ending_of(error: HypervisorError) -> Ending:
    if isinstance(error, (HostUnreachable, TrustError)):
        return Ending.UNREACHABLE
    if isinstance(error, Unsupported):
        return Ending.NO_WAY
    if isinstance(error, NotFound):
        return Ending.GONE
    return Ending.OFF if isinstance(error, Rejected) else Ending.ENDED


def why_ended(ticket: ConsoleTicket) -> Ending:
    """What became of a console that ended by itself."""
    if ticket.kind == ConsoleKind.SERIAL and is_taken_over(ticket):
        return Ending.TAKEN_OVER
    try:
        domain = _hypervisor(ticket).domain(ticket.vm_id)
    except Ended as over:
        return over.ending
    except HypervisorError:
        return Ending.UNREACHABLE
    if domain is None:
        return Ending.GONE
    return Ending.ENDED if domain.power in _UP else Ending.OFF
