"""People and their keys."""

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac


class Role(models.TextChoices):
    ADMIN = "admin", "Administrator: everything, also hosts and users"
    MEMBER = "member", "Member: their own virtual machines"
    VIEWER = "viewer", "Viewer: reads their own, changes nothing"


class User(AbstractUser):
    """A person who signs in. Raising ``token_epoch`` ends every token and session they hold."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    token_epoch = models.PositiveIntegerField(default=0)

    @property
    def is_admin(self) -> bool:
        """Whether this person may touch hosts, users and other people's machines."""
        return self.is_active and (self.role == Role.ADMIN or self.is_superuser)

    @property
    def name(self) -> str:
        """What history calls this person."""
        return self.get_username()

    def get_session_auth_hash(self) -> str:
        """A fingerprint of password and epoch. Sessions and token families carry it and end when it changes.

        Derived, so that no path to a new password (a form, the admin, a shell) can forget to end them.
        """
        value = f"{self.token_epoch}:{self.password}"
        return salted_hmac("cloudsite.credentials", value, algorithm="sha256").hexdigest()


class SSHKey(models.Model):
    """A public key that a new VM accepts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="ssh_keys")
    name = models.CharField(max_length=63)
    public_key = models.TextField(max_length=8192)
    fingerprint = models.CharField(max_length=60, help_text="SHA256:… as ssh-keygen -l prints it.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="ssh_key_name_unique_per_owner"),
            models.UniqueConstraint(fields=["owner", "fingerprint"], name="ssh_key_unique_per_owner"),
        ]

    def __str__(self) -> str:
        return self.name


class Scope(models.TextChoices):
    FULL = "full", "Everything its person may do"
    READ = "read", "Reads only"


class TokenFamily(models.Model):
    """One sign-in over the API: a chain of refresh tokens of which exactly one, ``current``, is good.

    Trading a refresh token in is one conditional UPDATE of ``current``, so of many parallel attempts one
    wins. Any other genuine token of the family was used before: the family is revoked.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.FULL)
    credentials = models.CharField(max_length=64, help_text="The person's session hash when they signed in.")
    current = models.UUIDField(help_text="The jti of the one refresh token that may be used.")
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(default=timezone.now, help_text="Sign-in or last refresh.")
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "token families"

    def __str__(self) -> str:
        return f"{self.user} since {self.created_at:%Y-%m-%d %H:%M}"
