"""Forms of interfaces and port forwards."""

from django import forms

from apps.accounts.models import User
from apps.compute.models import VM
from apps.network.models import NetworkPhase
from apps.network.selectors import networks_for


class NicCreateForm(forms.Form):
    """One more network for a machine: those of its host that it is not in yet."""

    network = forms.ChoiceField()

    def __init__(self, data: object = None, *, actor: User, vm: VM) -> None:
        super().__init__(data)  # type: ignore[arg-type]  # a QueryDict or nothing
        known = vm.nics.values("network_id")
        found = networks_for(actor=actor).filter(host=vm.host, phase=NetworkPhase.READY).exclude(pk__in=known)
        self.choices = [
            (network.name if network.builtin else str(network.pk), _label(network.name, network.cidr or "your LAN"))
            for network in found.order_by("name")
        ]
        self.fields["network"].choices = self.choices  # type: ignore[attr-defined]  # a ChoiceField


def _label(name: str, addresses: str) -> str:
    return f"{name} ({addresses})"


class PortForwardCreateForm(forms.Form):
    """A port of the host, and where it leads. The service says which numbers are possible."""

    host_port = forms.IntegerField(label="Port of the host", widget=forms.NumberInput(attrs={"placeholder": "8080"}))
    guest_port = forms.IntegerField(label="Port of the machine", widget=forms.NumberInput(attrs={"placeholder": "80"}))
    protocol = forms.ChoiceField(choices=[("tcp", "TCP"), ("udp", "UDP")])
