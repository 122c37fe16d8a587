"""Images, their copies on hosts, and the disks made from them."""

import uuid

from django.db import models

from apps.hosts.models import Host


class Firmware(models.TextChoices):
    BIOS = "bios", "BIOS"
    UEFI = "uefi", "UEFI"


class Devices(models.TextChoices):
    """``compatible``: SATA disks, e1000e network cards, for systems without virtio drivers."""

    VIRTIO = "virtio", "virtio (fast)"
    COMPATIBLE = "compatible", "Compatible (SATA, e1000e)"


class Image(models.Model):
    """A disk image that VMs start from. The file lies in the state directory under its id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
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
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField(help_text="Size of the file.")
    virtual_size_bytes = models.BigIntegerField(help_text="Size of the disk that the guest sees.")
    cloud_init = models.BooleanField(default=True, help_text="Whether a NoCloud seed is given to it.")
    default_user = models.CharField(max_length=32, blank=True)
    min_memory_mib = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def min_disk_gib(self) -> int:
        """The smallest disk that holds it, GiB."""
        return max(1, -(-self.virtual_size_bytes // 2**30))


class ImageCopy(models.Model):
    """An image on one host. It is sent once, in pieces; ``sent_bytes`` is how far it came."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="copies")
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="image_copies")
    sent_bytes = models.BigIntegerField(default=0)
    ready = models.BooleanField(default=False)
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


class Volume(models.Model):
    """A disk on a host. The file name comes from the id; who uses it points here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="volumes")
    image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="volumes")
    size_gib = models.PositiveIntegerField()
    format = models.CharField(max_length=8, default="qcow2")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.volume_name

    @property
    def volume_name(self) -> str:
        """File name in the host's pool."""
        return f"vol-{self.id}.{self.format}"
