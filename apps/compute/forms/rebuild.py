"""The form of a rebuild."""

from typing import Any

from django import forms

from apps.accounts.models import User
from apps.compute.models import VM
from apps.storage.selectors import images_usable


class RebuildForm(forms.Form):
    """From which image, and the machine's name as a confirmation. The image that it has is chosen at first."""

    image = forms.ChoiceField(widget=forms.RadioSelect)
    confirm = forms.CharField(label="Its name", required=False)

    def __init__(self, data: Any = None, *, actor: User, vm: VM) -> None:
        self.images = list(images_usable(actor=actor))
        names = {str(image.pk): image.name for image in self.images}
        now = str(vm.image_id)
        super().__init__(data or {"image": now if now in names else next(iter(names), "")})
        self.vm = vm
        self.fields["image"].choices = list(names.items())  # type: ignore[attr-defined]  # a ChoiceField

    def is_confirmed(self) -> bool:
        """Whether its name was typed; if not, that is an error of the field."""
        if self.cleaned_data["confirm"] == self.vm.name:
            return True
        self.add_error("confirm", f"Type {self.vm.name} to confirm.")
        return False
