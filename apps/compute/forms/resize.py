"""The form of a resize. It collects what differs; the service decides what is possible."""

from typing import Any

from django import forms

from apps.compute.forms.vm import CUSTOM
from apps.compute.models import VM
from apps.compute.selectors.vm import sizes

OWN = ("vcpus", "memory_mib", "disk_gib")
MAXIMA = ("max_vcpus", "max_memory_mib")


class ResizeForm(forms.Form):
    """Another size of the catalogue, or own numbers; and to what it may grow while it runs."""

    size = forms.ChoiceField(widget=forms.RadioSelect)
    vcpus = forms.IntegerField(label="vCPUs", min_value=1, required=False)
    memory_mib = forms.IntegerField(label="Memory (MiB)", min_value=1, required=False)
    disk_gib = forms.IntegerField(label="Disk (GiB)", min_value=1, required=False, help_text="It only grows.")
    max_vcpus = forms.IntegerField(label="Most vCPUs while it runs", min_value=1, required=False)
    max_memory_mib = forms.IntegerField(
        label="Most memory while it runs (MiB)",
        min_value=1,
        required=False,
        help_text="Its host keeps this much free for it from now on.",
    )

    def __init__(self, data: Any = None, *, vm: VM) -> None:
        now = {field: getattr(vm, field) for field in (*OWN, *MAXIMA)}
        super().__init__(data, initial={**now, "size": vm.size_id or CUSTOM})
        self.vm = vm
        self.sizes = [(size, size.disk_gib < vm.disk_gib) for size in sizes()]
        names = [(size.name, size.name) for size, _shrinks in self.sizes]
        self.fields["size"].choices = [*names, (CUSTOM, "Own numbers")]  # type: ignore[attr-defined]  # a ChoiceField

    @property
    def has_maxima(self) -> bool:
        """Whether the part with the room to grow holds something, so that it is shown open."""
        return any(self[name].value() or self[name].errors for name in MAXIMA)

    def wanted(self) -> dict[str, Any]:
        """The arguments of ``services.vm_resize``: what is empty or as it is now is not asked for."""
        data = self.cleaned_data
        fields = (*OWN, *MAXIMA) if data["size"] == CUSTOM else MAXIMA
        new = {field: data[field] for field in fields if data[field] not in (None, getattr(self.vm, field))}
        return new if data["size"] == CUSTOM else {"size": data["size"], **new}
