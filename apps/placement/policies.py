"""Policies in PostgreSQL: who reads, writes, and deletes them. Every change is a version with its author."""

import difflib
import functools
import uuid
from dataclasses import asdict

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, QuerySet

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.errors import Conflict, FieldError, NotFound, Refused, refused
from apps.events.services import event_record
from apps.names import as_id, valid_name
from apps.placement.models import Policy, PolicyVersion
from apps.placement.policy import model
from apps.placement.policy.language import PolicyError, policy_read
from apps.placement.policy.shipped import FOR_VOLUMES, shipped_texts
from apps.placement.policy.suggestion import did_you_mean

AUTHOR_OF_SHIPPED = "Cloudsite"


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> model.Policy:
    return policy_read(text)


def policy_checked(text: str) -> model.Policy:
    """What a text says. Raises ``Refused`` (``policy.invalid``) naming all that is wrong, each with line and path."""
    try:
        return _parsed(text)
    except PolicyError as error:
        errors = tuple(
            FieldError(field="text", code=f"policy.{problem.code}", detail=str(problem)) for problem in error.problems
        )
        problems = [asdict(problem) for problem in error.problems]
        raise Refused("policy.invalid", f"The policy is wrong: {error}", errors=errors, problems=problems) from error


def policies() -> QuerySet[Policy]:
    """All of them, by name; everybody may choose one."""
    return Policy.objects.order_by("name")


def policy_for(*, policy_id: uuid.UUID, lock: bool = False) -> Policy:
    """One. Raises ``NotFound``."""
    found = (Policy.objects.select_for_update() if lock else Policy.objects.all()).filter(pk=policy_id).first()
    if found is None:
        raise NotFound("policy.not_found", "There is no policy with this id.")
    return found


def policy_wanted(*, reference: str) -> Policy:
    """The one that a body names, as a row that nobody deletes in this transaction. Raises ``Refused``."""
    found = _held(reference)
    if found is None and reference in shipped_texts() and reference != FOR_VOLUMES:
        found = _ship(reference)
    if found is None:
        raise _unknown(reference)
    return found


def _held(reference: str) -> Policy | None:
    """Held as a foreign key would hold it, which Django has no word for: any number may, and a deletion waits."""
    policy_id = as_id(reference)
    column = "id" if policy_id else "name"
    query = f"SELECT * FROM {Policy._meta.db_table} WHERE {column} = %s FOR KEY SHARE"  # noqa: S608 - both are ours
    return next(iter(Policy.objects.raw(query, [policy_id or reference])), None)


def policy_known(*, reference: str) -> Policy:
    """The one that a question names; one that ships need not be a row for it. Raises ``Refused``."""
    policy_id = as_id(reference)
    found = Policy.objects.filter(**({"pk": policy_id} if policy_id else {"name": reference})).first()
    if found is None and reference in shipped_texts():
        return Policy(name=reference, text=shipped_texts()[reference], shipped=True)
    if found is None:
        raise _unknown(reference)
    return found


def _unknown(reference: str) -> Refused:
    known = sorted({*Policy.objects.values_list("name", flat=True), *shipped_texts()} - {FOR_VOLUMES})
    hint = did_you_mean(reference, known) or f"; there are {', '.join(known)}."
    return refused("policy", "policy.unknown", f"There is no policy {reference[:60]!r}{hint}")


def policy_in_force(chosen: Policy | None) -> tuple[model.Policy, int | None]:
    """What a VM with this choice is placed by now, and its version. None is the default of the installation."""
    found = chosen or Policy.objects.filter(name=settings.DEFAULT_POLICY).first()
    if found is not None:
        return policy_checked(found.text), found.version
    text = shipped_texts().get(settings.DEFAULT_POLICY)
    if text is None:
        detail = f"The default policy {settings.DEFAULT_POLICY!r} (CLOUDSITE_DEFAULT_POLICY) does not exist."
        raise Refused("policy.unknown", detail)
    return policy_checked(text), None


def policies_ensure() -> int:
    """Have the policies that come with Cloudsite as rows, in their newest text. The value is how many changed."""
    return sum(_ship_if_changed(name) for name in shipped_texts() if name != FOR_VOLUMES)


def _ship_if_changed(name: str) -> bool:
    text = shipped_texts()[name]
    with transaction.atomic():
        known = Policy.objects.select_for_update().filter(name=name).first()
        if known is None:
            _ship(name)
            return True
        if not known.shipped or known.text == text:
            return False
        policy_write(known, text, AUTHOR_OF_SHIPPED)
        return True


def _ship(name: str) -> Policy:
    text = shipped_texts()[name]
    values = {"text": text, "description": _parsed(text).description, "shipped": True}
    found, made = Policy.objects.get_or_create(name=name, defaults=values)
    if made:
        PolicyVersion.objects.create(policy=found, number=1, text=text, author=AUTHOR_OF_SHIPPED)
    return found


@transaction.atomic
def policy_create(*, actor: User, text: str) -> Policy:
    """Keep a new policy, by the name in its text. Raises ``Refused``."""
    require_admin(actor)
    read = policy_checked(text)
    valid_name("text", read.name)
    if read.name in shipped_texts():
        raise refused("text", "policy.shipped", f"{read.name} comes with Cloudsite. Give yours another name.")
    made = Policy(name=read.name, description=read.description, text=text)
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError as error:
        raise refused("text", "policy.name_taken", f"There is already a policy named {read.name!r}.") from error
    PolicyVersion.objects.create(policy=made, number=1, text=text, author=actor.get_username())
    message = f"Policy {made.name} added"
    event_record(kind="policy.create", target_type="policy", target=made, actor=actor, message=message)
    return made


@transaction.atomic
def policy_replace(*, actor: User, policy_id: uuid.UUID, text: str) -> Policy:
    """Make a new version; the same text makes none. VMs stay where they are. Raises ``Refused``."""
    require_admin(actor)
    known = policy_for(policy_id=policy_id, lock=True)
    read = policy_checked(text)
    if known.shipped:
        raise refused("text", "policy.shipped", f"{known.name} comes with Cloudsite. Copy it under another name.")
    if known.file:
        raise refused("text", "policy.from_file", f"{known.name} is kept in the file {known.file}. Change it there.")
    if read.name != known.name:
        detail = f"This is the policy {known.name}; a new name is a new policy."
        raise refused("text", "policy.renamed", detail)
    if text != known.text:
        policy_write(known, text, actor.get_username())
        message = f"Policy {known.name} changed to version {known.version}"
        event_record(kind="policy.update", target_type="policy", target=known, actor=actor, message=message)
    return known


def policy_write(known: Policy, text: str, author: str) -> None:
    """A new version of a locked policy, of a text that was checked."""
    known.text, known.description, known.version = text, _parsed(text).description, known.version + 1
    known.save()
    PolicyVersion.objects.create(policy=known, number=known.version, text=text, author=author)


@transaction.atomic
def policy_delete(*, actor: User, policy_id: uuid.UUID) -> Policy:
    """Forget a policy that nothing uses. Decisions that it made keep their reasons. Raises ``Conflict``."""
    require_admin(actor)
    known = policy_for(policy_id=policy_id, lock=True)
    if known.shipped:
        raise Conflict("policy.shipped", f"{known.name} comes with Cloudsite and stays.")
    if known.file:
        raise Conflict("policy.from_file", f"{known.name} is kept in the file {known.file}. Take that away first.")
    if known.name == settings.DEFAULT_POLICY:
        raise Conflict("policy.in_use", f"{known.name} is the default (CLOUDSITE_DEFAULT_POLICY).", used_by=[])
    gone = Policy(pk=known.pk, name=known.name)
    try:
        with transaction.atomic():
            known.delete()
    except ProtectedError as error:
        users = sorted(str(user) for user in error.protected_objects)
        named = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
        raise Conflict("policy.in_use", f"{gone.name} is used by {named}.", used_by=users[:200]) from error
    message = f"Policy {gone.name} deleted"
    event_record(kind="policy.delete", target_type="policy", target=gone, actor=actor, message=message)
    return gone


def policy_history(*, policy: Policy) -> list[dict[str, object]]:
    """Its versions, newest first, each with what it changed."""
    versions = list(policy.versions.order_by("-number"))
    before = [*(version.text for version in versions[1:]), ""]
    return [
        {
            "version": version.number,
            "author": version.author,
            "created_at": version.created_at,
            "diff": _diff(old, version),
        }
        for version, old in zip(versions, before, strict=False)
    ]


def _diff(old: str, version: PolicyVersion) -> str:
    names = (f"version {version.number - 1}", f"version {version.number}")
    return "\n".join(difflib.unified_diff(old.splitlines(), version.text.splitlines(), *names, lineterm=""))
