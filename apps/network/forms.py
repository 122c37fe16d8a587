"""Forms of networks."""

from typing import Any

from django import forms

from apps.accounts.models import User
from apps.hosts.selectors import hosts_for
from apps.network.models import NetworkKind

KINDS = {
    NetworkKind.NAT: "Behind the host: its own addresses, the outside is reached through the host.",
    NetworkKind.ISOLATED: "No way out: machines in it reach each other and the host, nothing else.",
    NetworkKind.LAN: "The network that the host itself is in; your router gives the addresses.",
}


class NetworkCreateForm(forms.Form):
    """A network on one host."""

    name = forms.CharField(
        max_length=63,
        help_text="Lower-case letters, digits and -.",
        widget=forms.TextInput(attrs={"placeholder": "back", "autocomplete": "off", "autofocus": True}),
    )
    kind = forms.ChoiceField(initial=NetworkKind.NAT, widget=forms.RadioSelect)
    cidr = forms.CharField(
        label="Addresses",
        max_length=18,
        required=False,
        help_text="A private network of /24 to /29. Empty: the first free /24 of the host.",
        widget=forms.TextInput(attrs={"placeholder": "192.168.50.0/24", "autocomplete": "off", "spellcheck": "false"}),
    )
    host = forms.ChoiceField(required=False)
    device = forms.CharField(
        label="Bridge or network card",
        max_length=15,
        required=False,
        help_text="Only where the host is reached by qemu+tls, which cannot read it. For example br0 or enp3s0.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    shared = forms.BooleanField(label="Everybody may put machines into it", required=False)

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kinds = [(kind.value, kind.label, note) for kind, note in KINDS.items()]
        if not actor.is_admin:
            self.kinds = [kind for kind in self.kinds if kind[0] != NetworkKind.LAN]
            for field in ("host", "device", "shared"):
                del self.fields[field]
        else:
            choices = [("", "Choose for me"), *((host.name, host.name) for host in hosts_for(actor=actor))]
            self.fields["host"].choices = choices  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["kind"].choices = [(kind, label) for kind, label, _note in self.kinds]  # type: ignore[attr-defined]

    def wanted(self) -> dict[str, Any]:
        """The arguments of ``services.network_create``."""
        data = self.cleaned_data
        return {
            "name": data["name"],
            "kind": data["kind"],
            "cidr": data["cidr"] or None,
            "host": data.get("host") or None,
            "device": data.get("device") or None,
            "shared": data.get("shared", False),
        }
