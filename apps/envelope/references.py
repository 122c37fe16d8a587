"""References in filters: an id or a name."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from apps.names import as_id


class ReferenceFilter(filters.CharFilter):
    """Filters a foreign key by the id or the name of what it points at."""

    def filter(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not value:
            return queryset
        found = as_id(value)
        return queryset.filter(**{f"{self.field_name}__pk": found} if found else {f"{self.field_name}__name": value})


class TargetFilter(filters.CharFilter):
    """The same where a record keeps ``<field>_id`` and ``<field>_name`` of something that may be gone."""

    def filter(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not value:
            return queryset
        found = as_id(value)
        return queryset.filter(**{f"{self.field_name}_id": found} if found else {f"{self.field_name}_name": value})
