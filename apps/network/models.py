"""Networks on hosts, and which address belongs to whom."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.hosts.models import Host


class NetworkKind(models.TextChoices):
    NAT = "nat", "NAT"
    ISOLATED = "isolated", "Isolated"
    LAN = "lan", "LAN"


class NetworkPhase(models.TextChoices):
    CREATING = "creating", "Creating"
    READY = "ready", "Ready"
    ERROR = "error", "Error"
    DELETING = "deleting", "Deleting"


class Network(models.Model):
    """A libvirt network of ours on one host. The one without an owner is the host's own, made when it is probed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="networks")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="networks")
    shared = models.BooleanField(default=False, help_text="Whether everybody may put machines into it.")
    name = models.CharField(max_length=63)
    libvirt_name = models.CharField(max_length=63, help_text="From ids alone, never from what somebody typed.")
    kind = models.CharField(max_length=8, choices=NetworkKind.choices, default=NetworkKind.NAT)
    cidr = models.CharField(max_length=18, blank=True, help_text="For example 192.168.150.0/24; none in a LAN.")
    bridge = models.CharField(max_length=15, blank=True)
    device = models.CharField(max_length=15, blank=True, help_text="LAN: the host's bridge or network card.")
    is_bridge = models.BooleanField(default=False, help_text="LAN: whether the device is a bridge; else macvtap.")
    phase = models.CharField(max_length=8, choices=NetworkPhase.choices, default=NetworkPhase.READY)
    reason = models.CharField(max_length=500, blank=True, help_text="Why the phase is error.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["host", "libvirt_name"], name="network_once_on_its_host"),
            models.UniqueConstraint(fields=["owner", "name"], name="network_name_unique_per_owner"),
            models.UniqueConstraint(
                fields=["name"], condition=Q(shared=True, owner__isnull=False), name="network_name_unique_if_shared"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def builtin(self) -> bool:
        """Whether it is the host's own."""
        return self.owner_id is None

    @property
    def gives_addresses(self) -> bool:
        """Whether its DHCP server is ours."""
        return self.kind != NetworkKind.LAN


class Address(models.Model):
    """An IP address reserved for one MAC address, whose owner is a plain id (a VM)."""

    network = models.ForeignKey(Network, on_delete=models.PROTECT, related_name="addresses")
    ip = models.GenericIPAddressField(protocol="IPv4")
    mac = models.CharField(max_length=17, unique=True)
    consumer_id = models.UUIDField(db_index=True)
    hostname = models.CharField(max_length=63)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["network", "ip"], name="address_unique_in_network"),
            models.UniqueConstraint(fields=["network", "consumer_id"], name="address_one_per_consumer"),
        ]

    def __str__(self) -> str:
        return self.ip
