"""Writes about people, their keys and their sign-ins. What ends someone's access ends it in the same transaction."""

import secrets
import unicodedata
import uuid
from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate, password_validation
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.http import HttpRequest
from rest_framework.request import Request

from apps.accounts import tokens
from apps.accounts.models import Role, Scope, SSHKey, TokenFamily, User
from apps.accounts.public_keys import public_key_parse
from apps.accounts.selectors import require_admin, sign_in_key, sign_in_query, ssh_key_for, ssh_keys_for
from apps.errors import Conflict, FieldError, Refused, refused
from apps.events.services import event_record
from apps.names import valid_name

MAX_SSH_KEYS = 100
MAX_PASSWORD = 1024  # characters; a bound on what one attempt may cost
MAX_USERNAME = 150
ADMIN_NAME = "admin"
ADMIN_PASSWORD_BYTES = 15
ADMINS = Q(role=Role.ADMIN) | Q(is_superuser=True)


def ssh_key_create(*, actor: User, name: str, public_key: str) -> SSHKey:
    """Add a public key to the actor's. Raises ``Refused`` for the name, the key, or a second one alike."""
    valid_name("name", name)
    parsed = public_key_parse(public_key)
    if ssh_keys_for(actor=actor).count() >= MAX_SSH_KEYS:
        raise refused("name", "ssh_key.too_many", f"You have {MAX_SSH_KEYS} keys. Delete one first.")
    key = SSHKey(owner=actor, name=name, public_key=parsed.line, fingerprint=parsed.fingerprint)
    with transaction.atomic():
        try:
            with transaction.atomic():
                key.save(force_insert=True)
        except IntegrityError as error:
            raise _same_key(key, error) from error
        event_record(
            kind="ssh_key.created",
            target_type="ssh-key",
            target=key,
            actor=actor,
            message=f"SSH key {key.name} ({key.fingerprint}) was added.",
        )
    return key


def _same_key(key: SSHKey, error: IntegrityError) -> Refused:
    if "ssh_key_name_unique_per_owner" in str(error):
        return refused("name", "ssh_key.name_taken", f"You already have a key named {key.name!r}.")
    return refused("public_key", "ssh_key.exists", "You have already added this key.")


@transaction.atomic
def ssh_key_delete(*, actor: User, key_id: uuid.UUID) -> SSHKey:
    """Remove one of the actor's keys. Guests made with it keep accepting it. Raises ``NotFound``."""
    key = ssh_key_for(actor=actor, key_id=key_id)
    event_record(
        kind="ssh_key.deleted",
        target_type="ssh-key",
        target=key,
        actor=actor,
        message=f"SSH key {key.name} ({key.fingerprint}) was deleted.",
    )
    SSHKey.objects.filter(pk=key.pk).delete()
    return key


@transaction.atomic
def password_change(*, actor: User, current: str, new: str) -> User:
    """Change one's own password, which ends their other sessions and all their tokens.

    Raises ``Refused`` for a wrong current password and for a weak new one. Callers limit the attempts.
    """
    user = User.objects.select_for_update().get(pk=actor.pk)
    if not user.check_password(current):
        raise refused("current_password", "password.wrong", "This is not your current password.")
    _password_check(user=user, password=new, field="new_password")
    return _password_store(user=user, password=new, actor=user)


@transaction.atomic
def password_set(*, actor: User, user_id: uuid.UUID, password: str) -> User:
    """Give someone a new password, as an administrator. Ends all their sessions and tokens."""
    require_admin(actor)
    user = User.objects.select_for_update().get(pk=user_id)
    _password_check(user=user, password=password, field="password")
    return _password_store(user=user, password=password, actor=actor)


def _password_check(*, user: User, password: str, field: str) -> None:
    if len(password) > MAX_PASSWORD:
        raise refused(field, "password.too_long", f"A password has at most {MAX_PASSWORD} characters.")
    try:
        password_validation.validate_password(password, user=user)
    except ValidationError as error:
        errors = tuple(FieldError(field=field, code="password.weak", detail=text) for text in error.messages)
        raise Refused("password.weak", " ".join(error.messages), errors=errors) from error


def _password_store(*, user: User, password: str, actor: User) -> User:
    user.set_password(password)
    user.save(update_fields=["password"])
    _forget_sign_ins(user.pk)
    return _record(user, "user.password_changed", "has a new password.", actor=actor)


@transaction.atomic
def user_create(*, actor: User | None, username: str, password: str, role: Role = Role.MEMBER) -> User:
    """Make an account. ``actor`` None is the installation itself. Raises ``Refused``."""
    if actor is not None:
        require_admin(actor)
    user = User(username=User.normalize_username(username))
    try:
        User._meta.get_field("username").clean(user.username, user)
    except ValidationError as error:
        raise refused("username", "user.name_invalid", " ".join(error.messages)) from error
    _password_check(user=user, password=password, field="password")
    user.set_password(password)
    _give_role(user, role)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        raise refused("username", "user.name_taken", f"There is already a user {user.username!r}.") from error
    return _record(user, "user.created", f"was created as {role}.", actor=actor)


@transaction.atomic
def user_deactivate(*, actor: User, user_id: uuid.UUID) -> User:
    """Close an account at once: no sign-in, no session, no token. Their machines stay. Raises ``Conflict``."""
    require_admin(actor)
    user = _locked_beside_another_admin(user_id)
    user.is_active = False
    user.token_epoch += 1  # so that nothing comes back to life with the account
    user.save(update_fields=["is_active", "token_epoch"])
    _forget_sign_ins(user.pk)
    return _record(user, "user.deactivated", "was deactivated.", actor=actor)


@transaction.atomic
def user_activate(*, actor: User, user_id: uuid.UUID) -> User:
    """Open a closed account again. They sign in anew."""
    require_admin(actor)
    user = User.objects.select_for_update().get(pk=user_id)
    user.is_active = True
    user.save(update_fields=["is_active"])
    return _record(user, "user.activated", "was activated.", actor=actor)


@transaction.atomic
def user_role_set(*, actor: User, user_id: uuid.UUID, role: Role) -> User:
    """Change what someone may do; it counts for open sessions and tokens too. Raises ``Conflict``."""
    require_admin(actor)
    if role == Role.ADMIN:
        user = User.objects.select_for_update().get(pk=user_id)
    else:
        user = _locked_beside_another_admin(user_id)
    _give_role(user, role)
    user.save(update_fields=["role", "is_staff", "is_superuser"])
    _forget_sign_ins(user.pk)
    return _record(user, "user.role_changed", f"is now {role}.", actor=actor)


@transaction.atomic
def user_sign_out_everywhere(*, actor: User, user_id: uuid.UUID) -> User:
    """End every session and token of someone: an administrator for anybody, everybody for themselves."""
    if actor.pk != user_id:
        require_admin(actor)
    User.objects.filter(pk=user_id).update(token_epoch=F("token_epoch") + 1)
    _forget_sign_ins(user_id)
    user = User.objects.get(pk=user_id)
    return _record(user, "user.signed_out_everywhere", "was signed out everywhere.", actor=actor)


def _give_role(user: User, role: Role) -> None:
    """Django's own flags follow the role, so that the admin site opens for administrators and for nobody else."""
    user.role = role
    user.is_staff = user.is_superuser = role == Role.ADMIN


def _locked_beside_another_admin(user_id: uuid.UUID) -> User:
    """The user, locked. Raises ``Conflict`` for the last active administrator.

    All active administrators are locked in one order, so that two of them cannot remove each other.
    """
    admins = list(User.objects.select_for_update().filter(ADMINS, is_active=True).order_by("pk"))
    user = User.objects.select_for_update().get(pk=user_id)
    if [admin.pk for admin in admins] == [user.pk]:
        raise Conflict("user.last_admin", "This is the last administrator. Make another one first.")
    return user


def _record(user: User, kind: str, what: str, *, actor: User | None) -> User:
    _happened(user, kind, f"{user.username} {what}", actor=actor)
    return user


def _happened(user: User, kind: str, message: str, *, actor: User | None) -> None:
    target: Any = user  # the protocol asks for a settable name, ours is derived
    event_record(kind=kind, target_type="user", target=target, actor=actor, message=message)


def _forget_sign_ins(user_id: uuid.UUID) -> None:
    """After the commit, drop what the cache says about their tokens: at once instead of within 3 s."""
    families = TokenFamily.objects.filter(user_id=user_id, revoked_at=None, expires_at__gt=Now())
    keys = [sign_in_key(pk) for pk in families.values_list("pk", flat=True)[:1000]]
    if keys:
        transaction.on_commit(lambda: cache.delete_many(keys))


@transaction.atomic
def admin_ensure(*, password: str | None) -> tuple[User, str] | None:
    """The first administrator and their password, or None when there is one (also a deactivated one)."""
    if User.objects.filter(ADMINS).exists():
        return None
    chosen = password or secrets.token_urlsafe(ADMIN_PASSWORD_BYTES)
    user = user_create(actor=None, username=ADMIN_NAME, password=chosen, role=Role.ADMIN)
    return user, chosen


def password_verify(*, request: HttpRequest | Request, username: str, password: str) -> User | None:
    """The person with this name and password, or None, in the same time for unknown and inactive ones.

    ``request.axes_locked_out`` tells afterwards that too many attempts were made. One password costs one
    Argon2, so what cannot be a password is refused before.
    """
    if len(username) > MAX_USERNAME or len(password) > MAX_PASSWORD or "\x00" in username + password:
        return None
    name = unicodedata.normalize("NFKC", username)
    user = authenticate(request, username=name, password=password)
    return user if isinstance(user, User) else None


@transaction.atomic
def token_issue(*, user: User, scope: Scope) -> tokens.Pair:
    """Sign someone in over the API, after their password was checked: the first pair of a new family."""
    TokenFamily.objects.filter(user=user, expires_at__lt=Now()).delete()
    family = TokenFamily(
        user=user,
        scope=scope,
        credentials=user.get_session_auth_hash(),
        current=uuid.uuid4(),
    )
    family.expires_at = family.created_at + tokens.REFRESH_LIFETIME
    family.save(force_insert=True)
    _record(user, "user.token_issued", f"signed in over the API ({scope}).", actor=user)
    return tokens.issue(family=family, role=user.role)


def token_refresh(*, raw: str) -> tokens.Pair:
    """Trade a refresh token for a new pair, once. Raises ``TokenInvalid``.

    One conditional UPDATE decides, so of parallel attempts with one token at most one wins. A genuine token
    that is not the current one was used before, by a thief or by its owner: nobody can tell, so all end.
    """
    claims = tokens.read(tokens.Refresh, raw)
    family = sign_in_query(family_id=claims.family, user_id=claims.user)
    if family is None:
        raise tokens.TokenInvalid("the sign-in has ended")
    fresh = uuid.uuid4()
    won = TokenFamily.objects.filter(pk=family.pk, current=claims.jti, revoked_at=None, expires_at__gt=Now()).update(
        current=fresh, used_at=Now(), expires_at=Now() + _lifetime()
    )
    if not won:
        _family_revoke(family, kind="user.token_reused", what="A used refresh token came again; the sign-in was ended.")
        raise tokens.TokenInvalid("used before")
    family.current = fresh
    return tokens.issue(family=family, role=family.user.role)


def _lifetime() -> timedelta:
    lifetime: timedelta = tokens.REFRESH_LIFETIME
    return lifetime


def token_revoke(*, raw: str) -> None:
    """Sign out: end the family of a refresh token, also of a used one. Raises ``TokenInvalid`` if not genuine."""
    claims = tokens.read(tokens.Refresh, raw)
    family = TokenFamily.objects.filter(pk=claims.family, user_id=claims.user).select_related("user").first()
    if family is not None:
        _family_revoke(family, kind="user.token_revoked", what="A sign-in over the API was ended.")


@transaction.atomic
def family_revoke(*, actor: User, family_id: uuid.UUID) -> None:
    """End one sign-in, as an administrator or as its person."""
    family = TokenFamily.objects.select_related("user").get(pk=family_id)
    if family.user_id != actor.pk:
        require_admin(actor)
    _family_revoke(family, kind="user.token_revoked", what="A sign-in over the API was ended.", actor=actor)


@transaction.atomic
def _family_revoke(family: TokenFamily, *, kind: str, what: str, actor: User | None = None) -> None:
    """Mark the family, once; what is derived from it ends with it. Never undone."""
    if TokenFamily.objects.filter(pk=family.pk, revoked_at=None).update(revoked_at=Now()):
        _happened(family.user, kind, what, actor=actor or family.user)
    transaction.on_commit(lambda: cache.delete(sign_in_key(family.pk)))
