"""Networks on hosts, and which address belongs to whom."""

import uuid

from django.db import models

from apps.hosts.models import Host


class NetworkKind(models.TextChoices):
    NAT = "nat", "NAT"


class Network(models.Model):
    """A libvirt network of ours on one host: ``cs-<installation>`` on the first free /24."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="networks")
    name = models.CharField(max_length=63)
    kind = models.CharField(max_length=8, choices=NetworkKind.choices, default=NetworkKind.NAT)
    cidr = models.CharField(max_length=18, help_text="For example 192.168.150.0/24.")
    bridge = models.CharField(max_length=15)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["host", "name"], name="network_name_unique_per_host")]

    def __str__(self) -> str:
        return self.name


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
