"""Filters of the list of operations."""

from django import forms
from django.db.models import QuerySet

from apps.operations.models import ACTIVE, Operation, Status


class OperationFilter(forms.Form):
    """What of the list is shown."""

    status = forms.ChoiceField(
        required=False,
        choices=[("", "All"), ("active", "Active"), *((status.value, status.label) for status in Status)],
    )
    q = forms.CharField(required=False, max_length=100, strip=True)

    def narrow(self, found: QuerySet[Operation]) -> QuerySet[Operation]:
        """The operations that match; an unknown status filters nothing."""
        status, text = (self.cleaned_data.get(name, "") for name in self.fields) if self.is_valid() else ("", "")
        if status == "active":
            found = found.filter(status__in=ACTIVE)
        elif status:
            found = found.filter(status=status)
        return found.filter(target_name__icontains=text) if text else found
