"""Forms of policies."""

import re
from typing import Any

from django import forms

from apps.compute.selectors.vm import sizes
from apps.placement.policy.tree import MOST_BYTES

NAME_LINE = re.compile(r"^name:[^\S\n]*(?:\"([^\"\n]*)\"|'([^'\n]*)'|([^\s#]+))", re.MULTILINE)
BEGINNING = """\
# What makes a host the best one for a new machine.
name: my-policy
description: Where the most memory is free.
score:
  - metric: memory_free_share
    weight: 2
  - metric: image_cached
"""


class TrialForm(forms.Form):
    """The size of a machine that nobody makes, for a dry run."""

    size = forms.ChoiceField(required=False, widget=forms.Select(attrs={"class": "select"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = [(size.name, size.name) for size in sizes()]
        self.fields["size"].choices = known or [("", "1 vCPU, 1 GiB")]  # type: ignore[attr-defined]  # a ChoiceField

    @property
    def wanted(self) -> str:
        """The name of the size, where one of the catalogue was chosen."""
        return str(self.cleaned_data.get("size", "")) if self.is_valid() else ""


class PolicyForm(forms.Form):
    """A policy as its text, which is all there is to it."""

    text = forms.CharField(
        label="Policy",
        max_length=MOST_BYTES,
        strip=False,
        widget=forms.Textarea(
            attrs={"rows": 22, "spellcheck": "false", "autocomplete": "off", "autocapitalize": "off", "wrap": "off"}
        ),
    )

    def clean_text(self) -> str:
        """Browsers send lines that end as on a typewriter."""
        return str(self.cleaned_data["text"]).replace("\r\n", "\n").replace("\r", "\n")


def copied(text: str) -> str:
    """A policy's text under another name, to go on from."""

    def renamed(found: re.Match[str]) -> str:
        name = next(part for part in found.groups() if part is not None)
        return f"name: {name[:58]}-copy"

    return NAME_LINE.sub(renamed, text, count=1)
