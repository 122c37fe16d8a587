"""The form of what-if questions."""

from typing import Any

from django import forms

from apps.accounts.models import User
from apps.compute.selectors.vm import sizes
from apps.dashboard.policy_selectors import WHERE_NO_SIZE_IS, size_named
from apps.dashboard.what_if_selectors import Question
from apps.hosts.capacity import Demand
from apps.hosts.selectors import hosts_for
from apps.placement.explain import NewHost

MOST_HOSTS = 50
MOST_GROWTH = 400


class WhatIfForm(forms.Form):
    """How the cloud shall be different. Everything is optional; nothing is the cloud as it is."""

    size = forms.ChoiceField(label="Room for machines of size", required=False)
    grow = forms.IntegerField(label="All machines grow by (%)", min_value=0, max_value=MOST_GROWTH, required=False)
    remove = forms.MultipleChoiceField(label="Without these hosts", required=False)
    add = forms.IntegerField(label="New hosts", min_value=0, max_value=MOST_HOSTS, required=False)
    cpus = forms.IntegerField(label="CPUs", min_value=1, max_value=4096, required=False)
    memory_gib = forms.IntegerField(label="Memory (GiB)", min_value=1, max_value=65536, required=False)
    disk_gib = forms.IntegerField(label="Disk (GiB)", min_value=1, max_value=2**26, required=False)

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = [(size.name, size.name) for size in sizes()] or [("", "1 vCPU, 1 GiB")]
        hosts = [(host.name, host.name) for host in hosts_for(actor=actor).order_by("name")]
        self.fields["size"].choices = known  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["remove"].choices = hosts  # type: ignore[attr-defined]  # a ChoiceField

    def question(self) -> Question:
        """What is asked; a field that is wrong asks nothing."""
        self.is_valid()
        data = self.cleaned_data
        size = size_named(data.get("size", ""))
        numbers = {name: getattr(size, name) for name in WHERE_NO_SIZE_IS} if size else WHERE_NO_SIZE_IS
        shape: dict[str, Any] = {
            "cpus": data.get("cpus") or 16,
            "memory_mib": (data.get("memory_gib") or 64) * 1024,
            "disk_gib": data.get("disk_gib") or 1000,
        }
        return Question(
            demand=Demand(**numbers),
            size=size.name if size else "1 vCPU, 1 GiB",
            policy=size.policy if size else None,
            grow_percent=data.get("grow") or 0,
            added=[NewHost(name=f"new host {number}", **shape) for number in range(1, (data.get("add") or 0) + 1)],
            removed=data.get("remove", []),
        )
