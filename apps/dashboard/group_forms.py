"""The form of a new placement group."""

from django import forms

from apps.placement.models import GroupRule

RULES = {
    GroupRule.ANTI_AFFINITY: "A host that fails takes one of them with it. Refused where no host is left.",
    GroupRule.AFFINITY: "Where the first of them went. Refused where that host is full.",
    GroupRule.SOFT_ANTI_AFFINITY: "On a host with the fewest of them.",
    GroupRule.SOFT_AFFINITY: "On the host with the most of them.",
}


class GroupCreateForm(forms.Form):
    """Its name and its rule, which cannot be changed later."""

    name = forms.CharField(
        max_length=63,
        help_text="Lower-case letters, digits and -.",
        widget=forms.TextInput(
            attrs={"placeholder": "db", "autocomplete": "off", "spellcheck": "false", "autofocus": True}
        ),
    )
    rule = forms.ChoiceField(choices=GroupRule.choices, initial=GroupRule.ANTI_AFFINITY, widget=forms.RadioSelect)

    @property
    def rules(self) -> list[tuple[str, str, str]]:
        """Each rule with its words and what it does."""
        return [(rule.value, str(rule.label), note) for rule, note in RULES.items()]
