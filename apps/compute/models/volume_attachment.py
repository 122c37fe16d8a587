"""Which VM has which data volume. What points at a VM lives in this app."""

import uuid

from django.db import models

from apps.compute.models.vm import VM
from apps.storage.models import Volume

LETTERS = "cdefghij"  # a is the root disk, b the seed


class AttachmentState(models.TextChoices):
    ATTACHING = "attaching", "Attaching"
    ATTACHED = "attached", "Attached"
    DETACHING = "detaching", "Detaching"


class VolumeAttachment(models.Model):
    """A volume of a VM, from the wish until the host was seen without it: there is one at most for each volume."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    volume = models.OneToOneField(Volume, on_delete=models.PROTECT, related_name="attachment")
    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="attachments")
    target = models.CharField(max_length=8, help_text="Name of the disk in the definition; it stays.")
    state = models.CharField(max_length=9, choices=AttachmentState.choices, default=AttachmentState.ATTACHING)
    sent = models.BooleanField(default=False, help_text="The host may have been asked to attach it.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["target"]
        constraints = [models.UniqueConstraint(fields=["vm", "target"], name="volume_attachment_target_once_per_vm")]

    def __str__(self) -> str:
        return f"{self.volume} on {self.vm}"
