"""Filters of lists: what is documented works, everything else is an error instead of being ignored."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django_filters import rest_framework as filters

from apps.errors import FieldError, Refused

ALWAYS = {"limit", "cursor", "ordering"}


class BooleanField(forms.NullBooleanField):
    """``true`` or ``false``; Django's own fields take every other word for "no filter"."""

    def to_python(self, value: Any) -> Any:
        if value in (None, ""):
            return None
        if value not in ("true", "false"):
            raise forms.ValidationError("Say true or false.")
        return bool(value == "true")


class BooleanFilter(filters.BooleanFilter):
    """A filter that refuses what is neither true nor false."""

    field_class = BooleanField

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=forms.TextInput, **options)


class DocumentedFilters(filters.DjangoFilterBackend):
    """django-filter, refusing query parameters that the list does not know and values that it cannot take."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset = self.get_filterset(request, queryset, view)
        known = ALWAYS | (set(filterset.filters) if filterset is not None else set())
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            names = ", ".join(sorted(known))
            detail = f"This list does not know {unknown[0][:60]!r}. It knows {names}."
            error = FieldError(field=unknown[0][:60], code="request.unknown_filter", detail=detail)
            raise Refused("request.unknown_filter", detail, errors=(error,))
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            errors = tuple(
                FieldError(field=field, code="request.filter", detail=" ".join(map(str, messages)))
                for field, messages in filterset.errors.items()
            )
            raise Refused("request.filter", "A filter has a value that it cannot take.", errors=errors)
        result: QuerySet[Any] = filterset.qs
        return result
