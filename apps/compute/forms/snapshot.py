"""Forms of snapshots. They collect; the services decide what is right."""

from django import forms
from django.db.models import Q, QuerySet

from apps.compute.models import Snapshot, SnapshotPhase


class SnapshotFilter(forms.Form):
    """What of the list is shown."""

    q = forms.CharField(required=False, max_length=100, strip=True)
    status = forms.ChoiceField(
        required=False,
        choices=[("", "All states"), *((phase.value, phase.label) for phase in SnapshotPhase), ("foreign", "Not ours")],
    )

    def narrow(self, found: QuerySet[Snapshot]) -> QuerySet[Snapshot]:
        """The snapshots that match by their own or their VM's name."""
        text, status = (self.cleaned_data.get(name, "") for name in self.fields) if self.is_valid() else ("", "")
        if text:
            found = found.filter(Q(name__icontains=text) | Q(vm__name__icontains=text))
        if status == "foreign":
            return found.filter(foreign=True)
        return found.filter(phase=status) if status else found


class SnapshotCreateForm(forms.Form):
    """Only its name: whether the memory is in it follows from whether the VM is on."""

    name = forms.CharField(
        max_length=63,
        help_text="Lower-case letters, digits and -.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autofocus": True}),
    )


class ConfirmForm(forms.Form):
    """Nothing to fill in: it carries why something was refused."""
