"""Filters of the list of decisions."""

from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from apps.accounts.models import User
from apps.hosts.selectors import hosts_for
from apps.names import as_id
from apps.placement.models import Placement
from apps.placement.policies import policies


class PlacementFilter(forms.Form):
    """What of the list is shown: by the name or id of what was placed, by host, by policy."""

    q = forms.CharField(required=False, max_length=100, strip=True)
    host = forms.ChoiceField(required=False)
    policy = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hosts = hosts_for(actor=actor).order_by("name").values_list("name", flat=True)
        names = {"host": ("All hosts", hosts), "policy": ("All policies", policies().values_list("name", flat=True))}
        for field, (everything, known) in names.items():
            self.fields[field].choices = [  # type: ignore[attr-defined]  # a ChoiceField
                ("", everything),
                *((name, name) for name in known),
            ]

    def narrow(self, found: QuerySet[Placement]) -> QuerySet[Placement]:
        """The decisions that match; what is no choice filters nothing."""
        text, host, policy = (self.cleaned_data.get(name, "") for name in self.fields) if self.is_valid() else [""] * 3
        if text:
            consumer = as_id(text)
            found = found.filter(Q(consumer_id=consumer) if consumer else Q(consumer_name__icontains=text))
        if host:
            found = found.filter(host_name=host)
        return found.filter(policy=policy) if policy else found

    @property
    def is_narrow(self) -> bool:
        """Whether anything is filtered."""
        return self.is_valid() and any(self.cleaned_data.values())
