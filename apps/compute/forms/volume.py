"""Forms of data volumes. They collect; the services decide what is right."""

from typing import Any

from django import forms

from apps.accounts.models import User
from apps.compute.selectors.vm import vms_for
from apps.compute.selectors.volume import STATUSES
from apps.hosts.selectors import hosts_for

MOST_CHOICES = 500


class VolumeFilter(forms.Form):
    """What of the list is shown."""

    q = forms.CharField(required=False, max_length=100, strip=True)
    status = forms.ChoiceField(
        required=False, choices=[("", "All states"), *((name, name.capitalize()) for name in STATUSES)]
    )

    def wanted(self) -> dict[str, str]:
        """Filters of the queryset of volumes."""
        if not self.is_valid():
            return {}
        given = {"name__icontains": self.cleaned_data["q"], "status": self.cleaned_data["status"]}
        return {field: value for field, value in given.items() if value}


class LimitsForm(forms.Form):
    """Most operations and bytes per second; empty is no limit."""

    iops = forms.IntegerField(label="Operations per second", min_value=0, required=False)
    bandwidth_mib_s = forms.IntegerField(label="MiB per second", min_value=0, required=False)

    def limits(self) -> dict[str, int]:
        """The arguments of the services."""
        return {name: self.cleaned_data[name] or 0 for name in ("iops", "bandwidth_mib_s")}


class VolumeCreateForm(LimitsForm):
    """What a new volume shall be."""

    name = forms.CharField(
        max_length=63,
        help_text="Lower-case letters, digits and -.",
        widget=forms.TextInput(
            attrs={"placeholder": "data", "autocomplete": "off", "spellcheck": "false", "autofocus": True}
        ),
    )
    size_gib = forms.IntegerField(label="Size (GiB)", min_value=1, initial=10)
    vm = forms.ChoiceField(
        label="For the virtual machine",
        required=False,
        help_text="It is made on the host of that machine, so that it can be attached there.",
    )
    host = forms.ChoiceField(required=False, help_text="Only where no machine is chosen.")

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        placed = vms_for(actor=actor).filter(owner=actor, host__isnull=False).order_by("name")
        names = placed.values_list("name", flat=True)[:MOST_CHOICES]
        self._choices("vm", [("", "None yet"), *((name, name) for name in names)])
        if actor.is_admin:
            hosts = hosts_for(actor=actor).filter(enabled=True)
            self._choices("host", [("", "The one with most free disk"), *((host.name, host.name) for host in hosts)])
        else:
            del self.fields["host"]

    def _choices(self, field: str, choices: list[tuple[str, str]]) -> None:
        chosen = self.fields[field]
        assert isinstance(chosen, forms.ChoiceField)  # noqa: S101  # for the type checker
        chosen.choices = choices

    @property
    def has_limits(self) -> bool:
        """Whether the part with the limits holds something, so that it is shown open."""
        return any(self[name].value() or self[name].errors for name in ("iops", "bandwidth_mib_s"))

    def wanted(self) -> dict[str, Any]:
        """The arguments of ``services.volume_create``."""
        data = self.cleaned_data
        place = {name: data[name] for name in ("vm", "host") if data.get(name)}
        return {"name": data["name"], "size_gib": data["size_gib"], **place, **self.limits()}


class VolumeUpdateForm(LimitsForm):
    """Its name and its limits."""

    name = forms.CharField(max_length=63)
