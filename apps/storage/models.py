"""Images, their copies on hosts, and the disks made from them."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User
from apps.hosts.models import Host


class Firmware(models.TextChoices):
    BIOS = "bios", "BIOS"
    UEFI = "uefi", "UEFI"


class Devices(models.TextChoices):
    """``compatible``: SATA disks, e1000e network cards, for systems without virtio drivers."""

    VIRTIO = "virtio", "virtio (fast)"
    COMPATIBLE = "compatible", "Compatible (SATA, e1000e)"


class ImageStatus(models.TextChoices):
    UPLOADING = "uploading", "Waiting for the file"
    IMPORTING = "importing", "Being fetched"
    CHECKING = "checking", "Being checked"
    READY = "ready", "Ready"
    ERROR = "error", "Not usable"
    DELETING = "deleting", "Being deleted"


class Image(models.Model):
    """A disk image that VMs start from. The file lies in the state directory under its id.

    One without owner is the installation's, and everybody's to use. A file that is on its way lies in a directory of
    its own until it was checked; ``source_format`` is what it was declared as, ``format`` what we made of it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="images")
    name = models.CharField(max_length=63)
    public = models.BooleanField(default=False, help_text="Whether everybody may start VMs from it.")
    status = models.CharField(max_length=10, choices=ImageStatus.choices, default=ImageStatus.READY)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it is not usable.")
    superseded = models.BooleanField(default=False, help_text="Another one has got its name since.")
    title = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=500, blank=True, help_text="Where it came from, for people.")
    architecture = models.CharField(max_length=16, default="x86_64")
    firmware = models.CharField(
        max_length=4, choices=Firmware.choices, default=Firmware.BIOS, help_text="What its VMs start with."
    )
    devices = models.CharField(
        max_length=10, choices=Devices.choices, default=Devices.VIRTIO, help_text="What its VMs find in the machine."
    )
    format = models.CharField(max_length=8, default="qcow2")
    source_format = models.CharField(max_length=8, blank=True)
    checksum = models.CharField(max_length=140, blank=True, help_text="Sum of the file as it came, with its kind.")
    expected_bytes = models.BigIntegerField(null=True, help_text="Size of the file that is on its way, if known.")
    received_bytes = models.BigIntegerField(default=0, help_text="How far it has come.")
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.BigIntegerField(default=0, help_text="Size of the file.")
    virtual_size_bytes = models.BigIntegerField(default=0, help_text="Size of the disk that the guest sees.")
    least_disk_gib = models.PositiveIntegerField(default=0, help_text="What it asks for beyond its own size.")
    cloud_init = models.BooleanField(default=True, help_text="Whether a NoCloud seed is given to it.")
    default_user = models.CharField(max_length=32, blank=True)
    min_memory_mib = models.PositiveIntegerField(default=0)
    cpu_features = ArrayField(
        models.CharField(max_length=32), default=list, help_text="What it needs of a CPU, as avx2 or x86-64-v3."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="image_name_once_per_owner"),
            models.UniqueConstraint(
                fields=["name"], condition=Q(owner=None), name="image_name_once_of_the_installation"
            ),
            models.UniqueConstraint(fields=["name"], condition=Q(public=True), name="image_name_once_in_public"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_iso(self) -> bool:
        """A CD to install from, rather than a disk to start from."""
        return self.format == "iso"

    @property
    def min_disk_gib(self) -> int:
        """The smallest disk that holds it, GiB; a CD says nothing about the disk beside it."""
        held = 0 if self.is_iso else -(-self.virtual_size_bytes // 2**30)
        return max(1, self.least_disk_gib, held)


class ImageCopy(models.Model):
    """An image on one host. It is sent once, in pieces; ``sent_bytes`` is how far it came."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="copies")
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="image_copies")
    sent_bytes = models.BigIntegerField(default=0)
    ready = models.BooleanField(default=False)
    used_at = models.DateTimeField(default=timezone.now, help_text="When a VM last needed it.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["image", "host"], name="image_copy_one_per_host")]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return f"{self.image.name} on {self.host.name}"

    @property
    def volume_name(self) -> str:
        """File name in the host's pool: from ids only."""
        return f"img-{self.image_id}.{self.image.format}"


class VolumeKind(models.TextChoices):
    ROOT = "root", "Root disk"
    DATA = "data", "Volume"


class VolumePhase(models.TextChoices):
    CREATING = "creating", "Creating"
    READY = "ready", "Ready"
    ERROR = "error", "Error"
    DELETING = "deleting", "Deleting"


class Volume(models.Model):
    """A disk on a host. The file name comes from the id; who uses it points here.

    A root disk belongs to its VM and has neither owner nor name; a data volume is a thing of its own.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=4, choices=VolumeKind.choices, default=VolumeKind.ROOT)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="volumes")
    name = models.CharField(max_length=63, blank=True)
    host = models.ForeignKey(Host, on_delete=models.PROTECT, null=True, related_name="volumes")
    image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="volumes")
    size_gib = models.PositiveIntegerField()
    format = models.CharField(max_length=8, default="qcow2")
    iops = models.PositiveIntegerField(default=0, help_text="Most operations per second; 0 is no limit.")
    bandwidth_mib_s = models.PositiveIntegerField(default=0, help_text="Most MiB per second; 0 is no limit.")
    phase = models.CharField(max_length=8, choices=VolumePhase.choices, default=VolumePhase.READY)
    reason = models.CharField(max_length=500, blank=True, help_text="Why the phase is error.")
    growing = models.BooleanField(default=False, help_text="A host was asked to grow it and not yet read again.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"], condition=Q(kind="data"), name="volume_name_unique_per_owner"
            ),
            models.CheckConstraint(
                condition=Q(kind="root") | (Q(owner__isnull=False) & ~Q(name="")), name="volume_of_data_is_owned"
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-created_at", "-id"], name="volume_page_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="volume_page"),
        ]

    def __str__(self) -> str:
        return self.name or self.volume_name

    @property
    def volume_name(self) -> str:
        """File name in the host's pool."""
        return f"vol-{self.id}.{self.format}"

    @property
    def device(self) -> str:
        """Where a Linux guest finds a data volume: a virtio disk shows 20 characters of its serial, the id."""
        return f"/dev/disk/by-id/virtio-{str(self.id)[:20]}"
