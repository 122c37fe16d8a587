"""Forms of hosts."""

from typing import Any

from django import forms

from apps.hosts.models import Accelerator, Host


class HostCreateForm(forms.Form):
    """A machine with libvirt that shall join."""

    name = forms.CharField(
        max_length=63,
        help_text="How this cloud calls it: lower-case letters, digits and -.",
        widget=forms.TextInput(attrs={"placeholder": "attic", "autocomplete": "off", "autofocus": True}),
    )
    uri = forms.CharField(
        label="Address",
        max_length=300,
        help_text="qemu+ssh://user@host/system, qemu+tls://host/system, or qemu:///system for this machine.",
        widget=forms.TextInput(
            attrs={
                "placeholder": "qemu+ssh://cloud@192.168.1.20/system",
                "autocomplete": "off",
                "spellcheck": "false",
            }
        ),
    )


SETTINGS = ("vcpu_ratio", "memory_ratio", "disk_ratio", "pull_interval_s")


class HostUpdateForm(forms.Form):
    """What a person decides about a host."""

    accelerator = forms.ChoiceField(
        choices=Accelerator.choices, help_text="Another choice is proven by booting a kernel, at once."
    )
    vcpu_ratio = forms.FloatField(label="vCPUs per processor")
    memory_ratio = forms.FloatField(label="Memory, times what is there")
    disk_ratio = forms.FloatField(label="Disk, times what is there")
    pull_interval_s = forms.IntegerField(
        label="Seconds from one look at it to the next",
        help_text="10 is usual. More for a host behind a slow line; what its machines do is seen later then.",
    )

    @classmethod
    def of(cls, host: Host, data: Any = None) -> "HostUpdateForm":
        """The form as the host is now."""
        now = {name: getattr(host, name) for name in SETTINGS}
        return cls(data, initial={"accelerator": host.accelerator_wanted, **now})


class HostTrustForm(forms.Form):
    """The fingerprint, as the person read it on the host."""

    fingerprint = forms.CharField(
        max_length=100,
        widget=forms.TextInput(attrs={"placeholder": "SHA256:…", "autocomplete": "off", "spellcheck": "false"}),
    )
    password = forms.CharField(
        label="Password of this user on the host",
        max_length=200,
        required=False,
        strip=False,
        help_text="Only if our key is not there yet: it is installed with the password, which is used once.",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
