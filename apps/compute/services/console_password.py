"""A one-time password for somebody who sits at the console of a VM and has none.

The web process makes a pair of keys. The public one goes to the worker, which sets the password in the guest and
keeps it sealed; the private one waits, encrypted, in the cache. PostgreSQL, its backups, messages, logs and
Idempotency-Keys never hold what opens the guest, and what is shown once is gone.
"""

import base64
import hashlib
import uuid
from dataclasses import dataclass
from datetime import timedelta

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import User
from apps.compute.models import VM, ConsolePassword
from apps.compute.sealing import new_keys, unseal
from apps.compute.selectors.vm import vm_for
from apps.compute.services.wish import VMChange, act, locked, ready, running
from apps.envelope.mutation import Plan
from apps.errors import Conflict, Refused, Unavailable
from apps.events.services import event_record

LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, repr=False)
class Shown:
    """A password as it is shown this once."""

    vm: VM
    login: str
    password: str
    must_change: bool
    plan: Plan


@transaction.atomic
def vm_console_password(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Have a new password set for the user of its image. An earlier one that nobody has seen is void.

    Raises ``Conflict`` when it does not run and ``Refused`` where no user is known.
    """
    vm = running(ready(locked(actor=actor, vm_id=vm_id)))
    login = login_of(vm)
    if login is None:
        detail = f"Nobody has said which user {vm.name}'s image has. Set default_user of the image first."
        raise Refused("console_password.no_user", detail)
    change = act(
        vm=vm,
        actor=actor,
        kind="vm.console-password",
        change=f"set a new password for {login} in {vm.name}, through its guest agent",
        then=("have the guest ask for another one at the first sign-in, where it can", "show it to you once"),
        reversible=False,
    )
    ConsolePassword.objects.filter(vm=vm).delete()
    ConsolePassword.objects.filter(expires_at__lt=Now()).delete()
    private, public = new_keys()
    ConsolePassword.objects.create(
        id=change.operation.pk,
        vm=vm,
        user=actor,
        login=login,
        public_key=public,
        expires_at=timezone.now() + LIFETIME,
    )
    _keep(change.operation.pk, private)
    return change


def login_of(vm: VM) -> str | None:
    """The user of the system that it is booted from, as its image says. A CD says nothing of what it installs."""
    image = vm.rescue_image or vm.image
    return image.default_user or None if image is not None and not image.is_iso else None


@transaction.atomic
def console_password_reveal(*, actor: User, vm_id: uuid.UUID) -> Shown:
    """The password, once, to who asked for it. Raises ``Conflict`` when there is none to show, or not yet."""
    vm = vm_for(actor=actor, vm_id=vm_id)
    found = ConsolePassword.objects.select_for_update().filter(vm=vm, user=actor, expires_at__gt=Now()).first()
    if found is None:
        detail = "There is no password to show: you have asked for none, have seen it, or took too long."
        raise Conflict("console_password.none", detail)
    if found.sealed is None:
        raise Conflict("console_password.not_ready", f"The password is not set in {vm.name} yet.")
    private = _kept(found.pk)
    opened = private and unseal(bytes(found.sealed), private_key=private, context=found.pk.bytes)
    if not opened:
        raise Conflict("console_password.lost", "The key to this password is gone. Ask for a new one.")
    number = found.pk
    found.delete()
    transaction.on_commit(lambda: cache.delete(_name(number)))
    message = f"{actor.name} was shown a one-time password of {found.login}."
    event_record(kind="console.password-shown", target_type="vm", target=vm, actor=actor, message=message)
    plan = Plan(changes=(f"show the password of {found.login} this once",), reversible=False)
    return Shown(vm=vm, login=found.login, password=opened.decode(), must_change=found.must_change, plan=plan)


def _keep(operation_id: uuid.UUID, private: bytes) -> None:
    cache.set(_name(operation_id), _fernet().encrypt(private), int(LIFETIME.total_seconds()))
    if cache.get(_name(operation_id)) is None:
        raise Unavailable("console_password.no_cache", "The key to the password cannot be kept: Redis does not answer.")


def _kept(operation_id: uuid.UUID) -> bytes | None:
    found = cache.get(_name(operation_id))
    try:
        return _fernet().decrypt(found) if found is not None else None
    except InvalidToken:
        return None


def _name(operation_id: uuid.UUID) -> str:
    return f"console-password:{operation_id}"


def _fernet() -> Fernet:
    digest = hashlib.sha256(b"console-password:" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
