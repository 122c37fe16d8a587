"""Console tickets: the right to open one console of one machine, once, within a minute."""

import uuid

from django.conf import settings
from django.db import models

from apps.compute.models.vm import VM


class ConsoleKind(models.TextChoices):
    SERIAL = "serial", "Serial console"
    VNC = "vnc", "Screen"


class ConsoleTicket(models.Model):
    """Handed out once and kept as a digest only. ``used_at`` is set by the one UPDATE that consumes it.

    ``binding`` names the sign-in that asked: the ticket is worth nothing beside another one's credentials.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="console_tickets")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="console_tickets")
    kind = models.CharField(max_length=6, choices=ConsoleKind.choices)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the ticket.")
    binding = models.CharField(max_length=80, help_text="The browser session or API sign-in that asked for it.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["vm", "kind", "-used_at"], name="console_ticket_latest")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.vm_id}"
