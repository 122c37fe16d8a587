"""Hosts, and who has claimed what on them."""

import uuid

from django.db import models
from django.db.models import Q


class Transport(models.TextChoices):
    LOCAL = "local", "qemu:///system"
    SSH = "ssh", "qemu+ssh"
    TLS = "tls", "qemu+tls"


class HostStatus(models.TextChoices):
    PENDING_TRUST = "pending_trust", "Waiting for trust"
    UP = "up", "Up"
    UNREACHABLE = "unreachable", "Unreachable"
    KEY_CHANGED = "key_changed", "Key changed"


class Accelerator(models.TextChoices):
    AUTO = "auto", "Automatic"
    KVM = "kvm", "KVM"
    TCG = "tcg", "Emulation (TCG)"


class Installation(models.Model):
    """One row: the identity that stands in every domain's metadata and in our pool and network names."""

    id = models.CharField(primary_key=True, max_length=8)
    restored_at = models.DateTimeField(null=True, help_text="When a backup was restored, until somebody confirmed it.")
    restored_from = models.DateTimeField(null=True, help_text="When that backup was made.")

    def __str__(self) -> str:
        return self.id


class Host(models.Model):
    """A machine with libvirt. ``enabled`` is the wish, ``status`` what was seen."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    transport = models.CharField(max_length=5, choices=Transport.choices)
    address = models.CharField(max_length=253, blank=True, help_text="DNS name or IP address; empty: this machine.")
    port = models.PositiveIntegerField(null=True)
    user = models.CharField(max_length=32, blank=True)
    enabled = models.BooleanField(default=True, help_text="Whether new VMs may be placed here.")
    labels = models.JSONField(default=dict)

    status = models.CharField(max_length=15, choices=HostStatus.choices, default=HostStatus.PENDING_TRUST)
    status_since = models.DateTimeField(auto_now_add=True)
    reason = models.CharField(max_length=500, blank=True)
    host_key = models.TextField(blank=True, help_text="Pinned SSH host key, as type and base64.")
    offered_key = models.TextField(blank=True, help_text="SSH host key that was seen and waits for confirmation.")
    retry_at = models.DateTimeField(null=True, help_text="An unreachable host is not called before.")

    accelerator_wanted = models.CharField(max_length=4, choices=Accelerator.choices, default=Accelerator.AUTO)
    accelerator = models.CharField(max_length=4, blank=True)
    accelerator_proven = models.BooleanField(default=False)
    accelerator_reason = models.CharField(max_length=500, blank=True)

    hostname = models.CharField(max_length=253, blank=True)
    host_uuid = models.UUIDField(null=True)
    boot_id = models.CharField(max_length=64, blank=True)
    cpus = models.PositiveIntegerField(default=0)
    cpu_model = models.CharField(max_length=100, blank=True)
    memory_mib = models.PositiveIntegerField(default=0)
    architectures = models.JSONField(default=list)
    native_architecture = models.CharField(max_length=16, default="x86_64")
    uefi = models.JSONField(default=list, help_text="Architectures for which it has UEFI firmware.")
    cpu_features = models.JSONField(
        default=dict, help_text="What guests of its own architecture find in their CPU, by accelerator."
    )
    facts_read_at = models.DateTimeField(null=True, help_text="Last time that it was asked what it has.")
    libvirt_version = models.CharField(max_length=20, blank=True)
    qemu_version = models.CharField(max_length=20, blank=True)
    pool_path = models.CharField(max_length=255, blank=True)
    pool_total_gib = models.PositiveIntegerField(default=0)
    pool_free_gib = models.PositiveIntegerField(default=0)

    forwards_ports = models.BooleanField(default=False, help_text="Whether our hook was seen at work on it.")
    listening = models.JSONField(default=list, help_text="Ports of its own programs, as [protocol, port].")

    vcpu_ratio = models.FloatField(default=8.0)
    memory_ratio = models.FloatField(default=1.0)
    disk_ratio = models.FloatField(default=2.0)
    vcpus_limit = models.PositiveIntegerField(default=0)
    memory_limit_mib = models.PositiveIntegerField(default=0)
    disk_limit_gib = models.PositiveIntegerField(default=0)
    vcpus_claimed = models.IntegerField(default=0)
    memory_claimed_mib = models.IntegerField(default=0)
    disk_claimed_gib = models.IntegerField(default=0)

    pull_interval_s = models.PositiveIntegerField(default=10, help_text="How often its domains are read.")
    pull_at = models.DateTimeField(null=True, help_text="When it is read next.")
    observed_at = models.DateTimeField(null=True, help_text="Last time that its domains were read.")
    reconcile_until = models.DateTimeField(null=True, help_text="Lease of the worker that reads it now.")
    watch_until = models.DateTimeField(null=True, help_text="Lease of the process that holds its event connection.")
    watch_owner = models.CharField(max_length=80, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["transport", "address", "port"], nulls_distinct=False, name="host_unique_address"
            ),
            models.CheckConstraint(
                condition=Q(vcpus_claimed__gte=0, memory_claimed_mib__gte=0, disk_claimed_gib__gte=0),
                name="host_claims_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def uri(self) -> str:
        """The libvirt URI in the documented form, without the parameters that we add ourselves."""
        if self.transport == Transport.LOCAL:
            return "qemu:///system"
        address = f"[{self.address}]" if ":" in self.address else self.address
        port = f":{self.port}" if self.port else ""
        user = f"{self.user}@" if self.transport == Transport.SSH else ""
        return f"qemu+{self.transport}://{user}{address}{port}/system"

    @property
    def is_up(self) -> bool:
        return self.status == HostStatus.UP


class AllocationKind(models.TextChoices):
    VM = "vm", "Virtual machine"
    VOLUME = "volume", "Volume"
    RESERVATION = "reservation", "Reserved"
    FOREIGN = "foreign", "Not ours"


class Allocation(models.Model):
    """What one consumer has claimed on a host. The sums are kept on the host, in the same statement."""

    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="allocations")
    consumer_id = models.UUIDField(help_text="Id of the VM, volume or reservation, or UUID of the foreign domain.")
    label = models.CharField(max_length=100)
    kind = models.CharField(max_length=11, choices=AllocationKind.choices)
    vcpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    power = models.CharField(max_length=10, blank=True, help_text="Of a foreign domain, as last seen.")
    ours = models.BooleanField(default=False, help_text="A domain of this installation that no row names.")
    group_id = models.UUIDField(null=True, help_text="The placement group that it counts for.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["group_id"], condition=Q(group_id__isnull=False), name="allocation_of_group")]
        constraints = [
            models.UniqueConstraint(fields=["host", "consumer_id"], name="allocation_one_per_host_and_consumer"),
            models.UniqueConstraint(
                fields=["consumer_id"],
                condition=Q(kind__in=["vm", "volume", "reservation"]),
                name="allocation_one_host_per_vm",
            ),
        ]

    def __str__(self) -> str:
        return self.label
