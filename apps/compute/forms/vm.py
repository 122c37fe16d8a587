"""Forms of virtual machines. They collect; the services decide what is right."""

from typing import Any

from django import forms
from django.conf import settings
from django.db.models import Q, QuerySet

from apps.accounts.models import SSHKey, User
from apps.accounts.selectors import ssh_keys_for
from apps.compute.models import VM, Phase
from apps.compute.selectors.vm import STATUS, STATUSES, sizes
from apps.hosts.selectors import hosts_for
from apps.network.models import NetworkPhase
from apps.network.selectors import networks_for
from apps.placement.groups import groups_owned
from apps.placement.policies import policies
from apps.storage.models import Devices, Firmware
from apps.storage.selectors import images_usable

CUSTOM = "custom"


SHOWN = [name for name in STATUSES if name != "trashed"]


class VMFilter(forms.Form):
    """What of the list is shown."""

    q = forms.CharField(required=False, max_length=100, strip=True)
    status = forms.ChoiceField(
        required=False,
        choices=[("", "All states"), *((name, name.capitalize()) for name in SHOWN)],
    )

    def narrow(self, found: QuerySet[VM]) -> QuerySet[VM]:
        """The VMs that match by name, tag or the beginning of an address; the trash has a page of its own."""
        found = found.exclude(phase=Phase.TRASHED)
        text, status = (self.cleaned_data.get(name, "") for name in self.fields) if self.is_valid() else ("", "")
        if text:
            nics = VM.objects.filter(nics__ip__startswith=text).values("pk")
            found = found.filter(Q(name__icontains=text) | Q(tags__contains=[text]) | Q(pk__in=nics))
        return found.alias(shown=STATUS).filter(shown=status) if status else found


def split_tags(text: str) -> list[str]:
    """Tags as a person writes them: by comma."""
    return [tag.strip() for tag in text.split(",") if tag.strip()]


class VMUpdateForm(forms.Form):
    """What can be changed without touching a host."""

    name = forms.CharField(max_length=63, help_text="The name in libvirt and inside the machine stays as it was.")
    tags = forms.CharField(required=False, help_text="Separated by commas.")
    start_on_boot = forms.BooleanField(label="Start it again when its host has rebooted", required=False)
    boot_order = forms.IntegerField(
        label="Boot order",
        min_value=0,
        required=False,
        help_text="When their host has rebooted, machines with a low number start first.",
    )
    group = forms.ChoiceField(
        required=False,
        label="Placement group",
        help_text="It stays on its host, so that only a group whose rule holds there takes it.",
    )
    notes = forms.CharField(required=False, max_length=10000, widget=forms.Textarea(attrs={"rows": 5}))

    @classmethod
    def of(cls, vm: VM, data: Any = None) -> "VMUpdateForm":
        """The form as the VM is now."""
        now = {field: getattr(vm, field) for field in ("name", "start_on_boot", "boot_order", "notes")}
        form = cls(data, initial={**now, "tags": ", ".join(vm.tags), "group": str(vm.group_id or "")})
        groups = [(str(group.pk), f"{group.name} ({group.rule})") for group in groups_owned(actor=vm.owner)]
        if groups:
            form.fields["group"].choices = [("", "None"), *groups]  # type: ignore[attr-defined]  # a ChoiceField
        else:
            del form.fields["group"]
        return form

    def wanted(self) -> dict[str, Any]:
        """The arguments of ``services.vm_update``."""
        data = self.cleaned_data
        notes = data["notes"].replace("\r\n", "\n")
        kept = {field: data[field] for field in ("start_on_boot", "boot_order")}
        return {"tags": split_tags(data["tags"]), "notes": notes, **kept}


class VMCreateForm(forms.Form):
    """What a new VM shall be. Choices come from the selectors of the person who asks."""

    name = forms.CharField(
        max_length=63,
        help_text="Lower-case letters, digits and -. It becomes the host name inside the machine.",
        widget=forms.TextInput(
            attrs={"placeholder": "web-1", "autocomplete": "off", "spellcheck": "false", "autofocus": True}
        ),
    )
    image = forms.ChoiceField(widget=forms.RadioSelect)
    size = forms.ChoiceField(widget=forms.RadioSelect)
    vcpus = forms.IntegerField(label="vCPUs", min_value=1, required=False)
    memory_mib = forms.IntegerField(label="Memory (MiB)", min_value=1, required=False)
    disk_gib = forms.IntegerField(label="Disk (GiB)", min_value=1, required=False)
    ssh_keys = forms.MultipleChoiceField(label="SSH keys", widget=forms.CheckboxSelectMultiple, required=False)
    key_name = forms.CharField(label="Name of the new key", max_length=63, required=False)
    public_key = forms.CharField(
        label="Public key",
        required=False,
        help_text="The content of ~/.ssh/id_ed25519.pub or similar. It is saved under SSH keys, too.",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "ssh-ed25519 AAAA… you@laptop", "spellcheck": "false"}),
    )
    host = forms.ChoiceField(required=False, help_text="Cloudsite chooses it by the policy.")
    policy = forms.ChoiceField(required=False, label="Placement policy", help_text="It says what the best host is.")
    group = forms.ChoiceField(required=False, label="Placement group", help_text="Together with others, or apart.")
    cpu_features = forms.CharField(
        required=False,
        max_length=400,
        label="CPU features",
        help_text="Only hosts that have them are taken: as avx2, or a level as x86-64-v3. Separated by commas.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
    )
    network = forms.ChoiceField(required=False, help_text="A network is on one host, and so is a machine in it.")
    tags = forms.CharField(required=False, help_text="Separated by commas.")
    start_on_boot = forms.BooleanField(label="Start it again when its host has rebooted", required=False, initial=True)
    max_vcpus = forms.IntegerField(label="Most vCPUs while it runs", min_value=1, required=False)
    max_memory_mib = forms.IntegerField(
        label="Most memory while it runs (MiB)",
        min_value=1,
        required=False,
        help_text="Its host keeps this much free for it from the start.",
    )
    firmware = forms.ChoiceField(
        required=False,
        choices=[("", "As the image says"), *Firmware.choices],
        help_text="UEFI is what newer systems and big disks are installed for. It cannot be changed later.",
    )
    devices = forms.ChoiceField(
        required=False,
        choices=[("", "As the image says"), *Devices.choices],
        help_text="Compatible is slower, and works for systems without virtio drivers.",
    )
    user_data = forms.CharField(
        label="User-data",
        required=False,
        strip=False,
        help_text="Passed to cloud-init as it is. Starts with #cloud-config, or with #! for a script.",
        widget=forms.Textarea(
            attrs={"rows": 8, "placeholder": "#cloud-config\npackages: [nginx]", "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.images = list(images_usable(actor=actor))
        self.sizes = list(sizes())
        self.keys: list[SSHKey] = list(ssh_keys_for(actor=actor))
        self._choices("image", [(image.name, image.name) for image in self.images])
        self._choices("size", [*((size.name, size.name) for size in self.sizes), (CUSTOM, "Own numbers")])
        self._choices("ssh_keys", [(key.name, key.name) for key in self.keys])
        named = networks_for(actor=actor).filter(owner__isnull=False, phase=NetworkPhase.READY)
        networks = [(str(network.pk), f"{network.name} ({network.host.name})") for network in named.order_by("name")]
        self._choices("network", [("", "The host's own"), *networks])
        chosen = [(policy.name, policy.name) for policy in policies()]
        self._choices("policy", [("", f"The default ({settings.DEFAULT_POLICY})"), *chosen])
        groups = [(group.name, f"{group.name} ({group.rule})") for group in groups_owned(actor=actor)]
        self._choices("group", [("", "None"), *groups])
        if not groups:
            del self.fields["group"]
        if actor.is_admin:
            hosts = hosts_for(actor=actor).filter(enabled=True)
            self._choices("host", [("", "Choose for me"), *((host.name, host.name) for host in hosts)])
        else:
            del self.fields["host"]

    def _choices(self, field: str, choices: list[tuple[str, str]]) -> None:
        chosen = self.fields[field]
        assert isinstance(chosen, forms.ChoiceField)  # noqa: S101  # for the type checker
        chosen.choices = choices
        if field in ("image", "size"):
            chosen.initial = choices[0][0] if choices else None
        if field == "ssh_keys":
            chosen.initial = [key.name for key in self.keys]

    @property
    def has_advanced(self) -> bool:
        """Whether the advanced part holds something, so that it is shown open."""
        names = ["user_data", "tags", "host", "policy", "group", "network", "firmware", "devices"]
        names += ["cpu_features", "max_vcpus", "max_memory_mib"]
        return any(self[name].value() or self[name].errors for name in names if name in self.fields)

    @property
    def has_new_key(self) -> bool:
        """Whether a new key was pasted, or must be: there is none yet."""
        return not self.keys or bool(self["public_key"].value() or self["key_name"].errors)

    def wanted(self) -> dict[str, Any]:
        """The arguments of ``services.vm_create``; the new key, if any, is named in them."""
        data = self.cleaned_data
        own = data["size"] == CUSTOM
        keys = list(data["ssh_keys"])
        return {
            "name": data["name"],
            "image": data["image"],
            "size": None if own else data["size"],
            "vcpus": data["vcpus"] if own else None,
            "memory_mib": data["memory_mib"] if own else None,
            "disk_gib": data["disk_gib"] if own else None,
            "max_vcpus": data["max_vcpus"],
            "max_memory_mib": data["max_memory_mib"],
            "ssh_keys": [*keys, data["key_name"]] if data["public_key"].strip() else keys,
            "user_data": data["user_data"].replace("\r\n", "\n"),
            "host": data.get("host") or None,
            "policy": data["policy"] or None,
            "group": data.get("group") or None,
            "network": data["network"] or None,
            "cpu_features": split_tags(data["cpu_features"]),
            "firmware": data["firmware"] or None,
            "devices": data["devices"] or None,
            "tags": split_tags(data["tags"]),
            "start_on_boot": data["start_on_boot"],
        }

    def new_key(self) -> dict[str, str] | None:
        """The arguments of ``ssh_key_create`` for a key that was pasted."""
        text = self.cleaned_data["public_key"].strip()
        return {"name": self.cleaned_data["key_name"], "public_key": text} if text else None
