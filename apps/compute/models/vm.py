"""Virtual machines. ``desired_power`` is the wish, ``power`` what was seen; what is shown is derived."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from apps.hosts.capacity import Demand
from apps.hosts.models import Host
from apps.network.models import Network
from apps.placement.models import PlacementGroup, Policy
from apps.storage.models import Devices, Firmware, Image, Volume


class Size(models.Model):
    """A size of the catalogue. Its name is what people type."""

    name = models.CharField(primary_key=True, max_length=63)
    vcpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    policy = models.ForeignKey(
        Policy,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Places VMs of this size for which none was chosen. Empty: the installation's default.",
    )

    class Meta:
        ordering = ["vcpus", "memory_mib"]

    def __str__(self) -> str:
        return self.name


class Phase(models.TextChoices):
    CREATING = "creating", "Creating"
    READY = "ready", "Ready"
    ERROR = "error", "Error"
    DELETING = "deleting", "Deleting"
    TRASHED = "trashed", "In the trash"


class DesiredPower(models.TextChoices):
    ON = "on", "On"
    OFF = "off", "Off"


class Power(models.TextChoices):
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    SHUTOFF = "shutoff", "Off"
    CRASHED = "crashed", "Crashed"
    UNKNOWN = "unknown", "Unknown"


class VM(models.Model):
    """A virtual machine. Its id is the libvirt domain UUID, in the API and in every log line."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="vms")
    name = models.CharField(max_length=63)
    created_name = models.CharField(max_length=63, help_text="Name at creation: the libvirt name comes from it.")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, null=True, related_name="vms")
    size = models.ForeignKey(Size, on_delete=models.SET_NULL, null=True)
    vcpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    max_vcpus = models.PositiveIntegerField(null=True, help_text="To which it can grow while it runs. Empty: vcpus.")
    max_memory_mib = models.PositiveIntegerField(null=True, help_text="The same of memory. Empty: memory_mib.")
    image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="vms")
    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, null=True, related_name="vms", help_text="Empty: the installation's default."
    )
    group = models.ForeignKey(PlacementGroup, on_delete=models.PROTECT, null=True, related_name="vms")
    root_volume = models.OneToOneField(Volume, on_delete=models.SET_NULL, null=True, related_name="vm")
    firmware = models.CharField(max_length=4, choices=Firmware.choices, default=Firmware.BIOS)
    devices = models.CharField(max_length=10, choices=Devices.choices, default=Devices.VIRTIO)
    rescue_image = models.ForeignKey(
        Image, on_delete=models.PROTECT, null=True, related_name="rescues", help_text="What it is booted from instead."
    )
    cdrom = models.ForeignKey(
        Image, on_delete=models.PROTECT, null=True, related_name="inserted", help_text="The CD in its drive."
    )
    cpu_features = ArrayField(
        models.CharField(max_length=32), default=list, help_text="What it asks of its CPU, beyond its image."
    )
    ssh_keys = models.JSONField(default=list, help_text="Public keys as they were at creation.")
    user_data = models.TextField(blank=True)

    phase = models.CharField(max_length=8, choices=Phase.choices, default=Phase.CREATING)
    reason = models.CharField(max_length=500, blank=True, help_text="Why the phase is error.")
    trashed_until = models.DateTimeField(null=True, help_text="In the trash: when it is deleted for good.")
    desired_power = models.CharField(max_length=3, choices=DesiredPower.choices, default=DesiredPower.ON)
    power = models.CharField(max_length=7, choices=Power.choices, default=Power.UNKNOWN)
    missing = models.BooleanField(default=False, help_text="The host does not know it any more.")
    observed_at = models.DateTimeField(null=True)  # alone; with its whole host: the host's observed_at
    snapshots_read_at = models.DateTimeField(null=True, help_text="Last time that its snapshots were read.")
    observed_addresses = models.JSONField(default=list, help_text="[{ip, source}] as the host saw them.")

    fence = models.PositiveIntegerField(default=0, help_text="Raised by every operation that takes the VM over.")
    protected = models.BooleanField(default=False)
    start_on_boot = models.BooleanField(default=True)
    boot_order = models.PositiveIntegerField(default=0, help_text="After a reboot of the host the lowest start first.")
    tags = ArrayField(models.CharField(max_length=63), default=list)
    notes = models.TextField(blank=True, max_length=10000)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="vm_name_unique_per_owner")]
        indexes = [
            models.Index(fields=["owner", "-created_at", "-id"], name="vm_page_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="vm_page"),
            models.Index(fields=["trashed_until"], condition=models.Q(phase="trashed"), name="vm_trash"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def architecture(self) -> str:
        """That of its image."""
        return self.image.architecture if self.image else "x86_64"

    @property
    def cpu_features_wanted(self) -> tuple[str, ...]:
        """What it and its image ask of its CPU."""
        return tuple(sorted({*self.cpu_features, *(self.image.cpu_features if self.image else ())}))

    @property
    def most_vcpus(self) -> int:
        """vCPUs that it can have without a restart."""
        return self.max_vcpus or self.vcpus

    @property
    def most_memory_mib(self) -> int:
        """Memory that it can have without a restart: what QEMU is started with, and what is claimed."""
        return self.max_memory_mib or self.memory_mib

    @property
    def demand(self) -> Demand:
        """What it claims on a host: the memory it may grow to, the vCPUs it has."""
        return Demand(vcpus=self.vcpus, memory_mib=self.most_memory_mib, disk_gib=self.disk_gib)

    @property
    def rescued(self) -> bool:
        """Whether it is booted from a rescue system."""
        return self.rescue_image_id is not None

    @property
    def libvirt_name(self) -> str:
        """Creation name plus the last 8 hex digits of the id: readable in virsh, unique everywhere."""
        return f"{self.created_name}-{self.id.hex[-8:]}"


class NicPhase(models.TextChoices):
    ATTACHING = "attaching", "Being added"
    READY = "ready", "Ready"
    DETACHING = "detaching", "Being removed"


class Nic(models.Model):
    """A network interface of a VM. Its reserved address is in the network's table under the VM's id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="nics")
    network = models.ForeignKey(Network, on_delete=models.PROTECT, related_name="nics")
    mac = models.CharField(max_length=17, unique=True, null=True, help_text="Known once its place is reserved.")
    ip = models.GenericIPAddressField(protocol="IPv4", null=True)
    phase = models.CharField(max_length=9, choices=NicPhase.choices, default=NicPhase.READY)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["vm", "network"], name="nic_one_per_network")]

    def __str__(self) -> str:
        return self.mac or str(self.id)
