"""The guest agent: what every implementation of the interface does, real or fake."""

from uuid import uuid4

import pytest

from hypervisor.errors import ForeignObject, GuestSilent, NotFound, Rejected
from tests.hypervisor.bed import Bed


def test_a_guest_without_an_agent_says_so(bed: Bed) -> None:
    """Nothing runs in this guest, so nobody answers."""
    bed.needs("agent")
    spec = bed.running()
    bed.silence()
    with pytest.raises(GuestSilent):
        bed.hypervisor.set_password(spec.uuid, "debian", "secret")
    assert bed.hypervisor.expire_password(spec.uuid, "debian") is False


def test_guests_that_are_off_paused_missing_or_foreign(bed: Bed) -> None:
    hypervisor, off = bed.hypervisor, bed.defined().uuid
    for uuid, whose, error in (
        (off, hypervisor, Rejected),
        (uuid4(), hypervisor, NotFound),
        (off, bed.another("00000001"), ForeignObject),
    ):
        with pytest.raises(error):
            whose.set_password(uuid, "debian", "secret")
    hypervisor.ensure_running(off)
    hypervisor.set_paused(off, paused=True)
    with pytest.raises(Rejected):
        hypervisor.set_password(off, "debian", "secret")
