"""Setting a one-time password, claim by claim, on a fake host."""

import re
from typing import Any

import pytest
import structlog

from apps.compute.models import ConsolePassword
from apps.compute.services.console_password import console_password_reveal, vm_console_password
from apps.operations.models import Operation
from hypervisor.fake import Fault
from tests.api.answers import everything


@pytest.fixture
def guest(workshop: Any) -> Any:
    workshop.image.default_user = "debian"
    workshop.image.save()
    return workshop.running()


def ask(workshop: Any, vm: Any) -> Operation:
    return vm_console_password(actor=workshop.admin, vm_id=vm.pk).operation


def seen(workshop: Any, vm: Any) -> Any:
    return console_password_reveal(actor=workshop.admin, vm_id=vm.pk)


@pytest.mark.parametrize("may", [True, False], ids=["chage", "no guest-exec"])
def test_what_is_shown_is_what_the_guest_has(workshop: Any, guest: Any, may: bool) -> None:
    workshop.fake.configure(guest_exec=may)
    with structlog.testing.capture_logs() as logs:
        assert workshop.carry_out(ask(workshop, guest)).status == "succeeded"
    in_guest = workshop.fake.password_in(guest.pk)
    assert in_guest["password"] not in str(logs) + str(everything())
    shown = seen(workshop, guest)
    assert (shown.login, shown.password, shown.must_change) == ("debian", in_guest["password"], may)
    assert in_guest["expired"] is may
    assert re.fullmatch(r"([a-km-x2-9]{4}-){3}[a-km-x2-9]{4}", shown.password)
    assert shown.password not in repr(shown)
    assert not ConsolePassword.objects.exists()


def test_every_time_another_one(workshop: Any, guest: Any) -> None:
    found = set()
    for _ in range(3):
        workshop.carry_out(ask(workshop, guest))
        found.add(seen(workshop, guest).password)
    assert len(found) == 3


def test_no_agent_answers_and_later_one_does(workshop: Any, guest: Any) -> None:
    workshop.fake.configure(agent=False)
    operation = workshop.carry_out(ask(workshop, guest))
    assert (operation.status, operation.error_code) == ("failed", "console_password.no_agent")
    assert "web-1" in operation.error_message
    workshop.fake.configure(agent=True)
    from apps.operations.services import operation_retry

    assert workshop.carry_out(operation_retry(actor=workshop.admin, operation_id=operation.pk)).status == "succeeded"
    assert seen(workshop, guest).password == workshop.fake.password_in(guest.pk)["password"]


def test_switched_off_meanwhile(workshop: Any, guest: Any) -> None:
    operation = ask(workshop, guest)
    workshop.fake.stop_domain(guest.pk)
    assert workshop.carry_out(operation).error_code == "host-rejected"
    assert workshop.fake.password_in(guest.pk) is None


def test_nobody_waits_any_more(workshop: Any, guest: Any) -> None:
    from django.utils import timezone

    operation = ask(workshop, guest)
    ConsolePassword.objects.update(expires_at=timezone.now())
    assert workshop.carry_out(operation).error_code == "console_password.expired"
    assert workshop.fake.password_in(guest.pk) is None


@pytest.mark.parametrize("method", ["set_password", "expire_password"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_answer_that_is_lost_is_asked_for_again(workshop: Any, guest: Any, method: str, moment: str) -> None:
    """The guest may have got a password that nobody knows; the one that is shown is always the last one."""
    workshop.fake.inject(Fault(action="unreachable", method=method, moment=moment))
    operation = workshop.claim_once(ask(workshop, guest))
    assert operation.status == "queued"
    type(workshop.host).objects.update(status="up")
    assert workshop.carry_out(operation).status == "succeeded"
    assert seen(workshop, guest).password == workshop.fake.password_in(guest.pk)["password"]


def test_the_rescue_system_has_its_own_user(workshop: Any, guest: Any) -> None:
    from apps.storage.models import Image

    system = Image.objects.create(name="rescue", default_user="root")
    type(guest).objects.filter(pk=guest.pk).update(rescue_image=system)
    workshop.carry_out(ask(workshop, guest))
    assert workshop.fake.password_in(guest.pk)["user"] == "root"
