"""Whether a one-time password waits for somebody."""

from django.db.models.functions import Now

from apps.accounts.models import User
from apps.compute.models import VM, ConsolePassword


def console_password_waiting(*, actor: User, vm: VM) -> ConsolePassword | None:
    """One that this person asked for, that is set, and that nobody has seen."""
    mine = ConsolePassword.objects.filter(vm=vm, user=actor, expires_at__gt=Now(), sealed__isnull=False)
    return mine.defer("sealed", "public_key").first()
