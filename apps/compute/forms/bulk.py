"""The form that many machines are chosen in."""

from django import forms

from apps.compute.forms.vm import split_tags
from apps.compute.services.bulk import MOST_VMS

BUTTONS = ("start", "shutdown", "reboot", "tag", "untag", "power-off", "delete", "restore", "delete-for-good")


class VMBulkForm(forms.Form):
    """Which machines, and what to do. Ids only: they come from check boxes."""

    action = forms.ChoiceField(choices=[(name, name) for name in BUTTONS])
    tags = forms.CharField(required=False, max_length=1300)

    @property
    def vm_ids(self) -> list[str]:
        """The boxes that were ticked, no more than are accepted anyway plus one."""
        chosen: list[str] = self.data.getlist("vm")  # type: ignore[attr-defined]  # a QueryDict
        return [str(item)[:63] for item in chosen[: MOST_VMS + 1]]

    @property
    def wanted_tags(self) -> list[str]:
        return split_tags(self.cleaned_data["tags"])
