"""Setting a one-time password in a guest. It is made here, and leaves this process towards the guest and sealed."""

import secrets
from typing import Final

from django.db.models.functions import Now

from apps.compute.models import ConsolePassword
from apps.compute.sealing import seal
from apps.errors import Unavailable
from hypervisor.errors import GuestSilent
from workers.compute.target import host_of, vm_of
from workers.connections import hypervisor_for
from workers.engine import Run

# Nothing that looks like something else on a screen, and everything where it is on most keyboards.
ALPHABET: Final = "abcdefghijkmnopqrstuvwx23456789"
GROUPS: Final = 4


def vm_console_password(run: Run) -> None:
    """Done again from the top it sets another password, and only the last one is ever shown."""
    if (vm := vm_of(run)) is None:
        return
    wanted = ConsolePassword.objects.filter(pk=run.operation.pk, expires_at__gt=Now()).first()
    if wanted is None:
        raise Unavailable("console_password.expired", "Nobody waits for this password any more. Ask for a new one.")
    hypervisor, password = hypervisor_for(host_of(vm)), new_password()
    try:
        with run.step("set", f"Setting the password of {wanted.login}", progress=30):
            hypervisor.set_password(vm.pk, wanted.login, password)
    except GuestSilent as error:
        detail = f"No guest agent answers in {vm.name}. It may still be booting, or has no qemu-guest-agent."
        raise Unavailable("console_password.no_agent", detail) from error
    with run.step("expire", "Asking the guest to want another one at sign-in", progress=70):
        must_change = hypervisor.expire_password(vm.pk, wanted.login)
    sealed = seal(password.encode(), public_key=bytes(wanted.public_key), context=wanted.pk.bytes)
    with run.write():
        ConsolePassword.objects.filter(pk=wanted.pk).update(sealed=sealed, must_change=must_change)


def new_password() -> str:
    """About 79 bits, in groups that one can read and type."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(GROUPS))
