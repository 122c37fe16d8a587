"""Forms of images. They collect; the services decide what is right."""

from typing import Any

from django import forms

from apps.accounts.models import User
from apps.storage.catalogue import offers
from apps.storage.images import ARCHITECTURES, FORMATS, PACKED
from apps.storage.models import Devices, Firmware

WAYS = {
    "upload": ("Upload a file", "From this computer. An upload that is interrupted can go on later."),
    "url": ("Fetch an address", "Cloudsite fetches it, and compares its checksum."),
    "catalogue": ("From the catalogue", "Official cloud images of the distributions."),
}
ABOUT = (
    "title", "default_user", "architecture", "firmware", "devices", "cloud_init", "min_disk_gib", "min_memory_mib",
    "cpu_features",
)  # fmt: skip
PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class AboutForm(forms.Form):
    """What people say about an image."""

    title = forms.CharField(
        max_length=100, required=False, help_text="What it is, for people.", widget=forms.TextInput(attrs=PLAIN)
    )
    default_user = forms.CharField(
        label="User", max_length=32, required=False, help_text="Who signs in.", widget=forms.TextInput(attrs=PLAIN)
    )
    architecture = forms.ChoiceField(choices=[(name, name) for name in ARCHITECTURES])
    firmware = forms.ChoiceField(choices=Firmware.choices)
    devices = forms.ChoiceField(
        choices=Devices.choices, help_text="Compatible: for systems that have no drivers for virtio."
    )
    min_disk_gib = forms.IntegerField(label="Disk at least (GiB)", min_value=0, required=False)
    min_memory_mib = forms.IntegerField(label="Memory at least (MiB)", min_value=0, required=False)
    cpu_features = forms.CharField(
        label="CPU features",
        max_length=400,
        required=False,
        help_text="What its machines need: as avx2, or a level as x86-64-v3. Separated by commas.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    cloud_init = forms.BooleanField(label="It reads SSH keys and user-data (cloud-init)", required=False, initial=True)
    public = forms.BooleanField(label="Everybody may start machines from it", required=False)

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not actor.is_admin:
            del self.fields["public"]

    @property
    def is_about_shown(self) -> bool:
        """Whether the part that few people need holds a mistake, so that it is shown open."""
        return any(self[name].errors for name in ABOUT)

    def about(self) -> dict[str, Any]:
        """What the services take beside a name."""
        data = self.cleaned_data
        said = {name: data[name] for name in ABOUT}
        numbers = {name: data[name] or 0 for name in ("min_disk_gib", "min_memory_mib")}
        features = [name.strip() for name in data["cpu_features"].split(",") if name.strip()]
        return {**said, **numbers, "cpu_features": features, **self.audience()}

    def audience(self) -> dict[str, Any]:
        """Who sees it; only administrators are asked."""
        return {"public": self.cleaned_data["public"]} if "public" in self.fields else {}


class ImageCreateForm(AboutForm):
    """One form for the three ways in which an image comes."""

    way = forms.ChoiceField(choices=[(way, label) for way, (label, _note) in WAYS.items()], initial="upload")
    name = forms.CharField(
        max_length=63,
        required=False,
        help_text="Lower-case letters, digits and -.",
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "my-image"}),
    )
    format = forms.ChoiceField(choices=[(name, name) for name in FORMATS], help_text="Convert others with qemu-img.")
    size_bytes = forms.IntegerField(required=False, widget=forms.HiddenInput)
    url = forms.CharField(
        label="Address",
        max_length=1000,
        required=False,
        widget=forms.TextInput(attrs={**PLAIN, "inputmode": "url", "placeholder": "https://example.org/image.qcow2"}),
    )
    checksum = forms.CharField(
        max_length=140, required=False, widget=forms.TextInput(attrs={**PLAIN, "placeholder": "sha256:…"})
    )
    checksum_url = forms.CharField(
        label="Address of the list of checksums",
        max_length=1000,
        required=False,
        help_text="In place of the checksum: the vendor's SHA256SUMS, CHECKSUM or .sha256.",
        widget=forms.TextInput(attrs={**PLAIN, "inputmode": "url"}),
    )
    packed = forms.ChoiceField(
        label="Compressed as a whole", required=False, choices=[("", "No"), *((name, name) for name in PACKED)]
    )
    catalogue = forms.ChoiceField(required=False, choices=[(offer.name, offer.title) for offer in offers()])

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, **kwargs)
        self.ways = [(way, *words) for way, words in WAYS.items()]
        self.offers = offers()

    @property
    def is_begun(self) -> bool:
        """Whether enough was filled in for its plan to say something."""
        return self.is_bound and bool(self["catalogue" if self["way"].value() == "catalogue" else "name"].value())

    def clean(self) -> None:
        if self.cleaned_data.get("way") == "catalogue" and not self.cleaned_data.get("catalogue"):
            self.add_error("catalogue", "Choose one of the images.")

    def wanted(self) -> dict[str, Any]:
        """The arguments of ``image_create``: only those of the chosen way, whatever stands in hidden fields."""
        data, way = self.cleaned_data, self.cleaned_data["way"]
        if way == "catalogue":
            return {name: data[name] for name in ("catalogue", "name", "checksum")} | self.audience()
        names = ("name", "format", "checksum") + (("url", "checksum_url", "packed") if way == "url" else ())
        wanted = {name: data[name] for name in names} | self.about()
        return wanted if way == "url" else {**wanted, "size_bytes": data["size_bytes"]}


class ImageUpdateForm(AboutForm):
    """What can be said about an image anew."""

    name = forms.CharField(max_length=63, widget=forms.TextInput(attrs=PLAIN))


class ImageDeleteForm(forms.Form):
    """The name, typed again."""

    confirm = forms.CharField(widget=forms.TextInput(attrs=PLAIN))

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self.fields["confirm"].label = f"Type {name} to confirm"

    def clean_confirm(self) -> str:
        if self.cleaned_data["confirm"] != self.name:
            raise forms.ValidationError("This is not its name.")
        return self.name


class PruneForm(forms.Form):
    """How long a copy has to have been of no use."""

    older_than_days = forms.IntegerField(label="Not needed for (days)", min_value=0, max_value=3650)
