"""Ports of hosts that lead to virtual machines behind NAT."""

import uuid

from django.db import models
from django.db.models import Q

from apps.compute.models.vm import VM, Nic
from apps.hosts.models import Host


class ForwardPhase(models.TextChoices):
    CREATING = "creating", "Being opened"
    READY = "ready", "Open"
    ERROR = "error", "Error"
    DELETING = "deleting", "Being closed"


class PortForward(models.Model):
    """A port of the host that leads to a port of one interface of a VM. A host has each port once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="port_forwards")
    nic = models.ForeignKey(Nic, on_delete=models.CASCADE, related_name="port_forwards")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="port_forwards")
    protocol = models.CharField(max_length=3, choices=[("tcp", "TCP"), ("udp", "UDP")], default="tcp")
    host_port = models.PositiveIntegerField()
    guest_port = models.PositiveIntegerField()
    phase = models.CharField(max_length=8, choices=ForwardPhase.choices, default=ForwardPhase.CREATING)
    reason = models.CharField(max_length=500, blank=True, help_text="Why the phase is error.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["host_port", "protocol"]
        constraints = [
            models.UniqueConstraint(fields=["host", "protocol", "host_port"], name="port_forward_port_once_per_host"),
            models.CheckConstraint(
                condition=Q(host_port__gte=1, host_port__lte=65535, guest_port__gte=1, guest_port__lte=65535),
                name="port_forward_is_of_ports",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """As operations and events call it."""
        return f"{self.protocol}-{self.host_port}"

    @property
    def owner_id(self) -> uuid.UUID:
        """Whoever owns the VM."""
        return self.vm.owner_id
