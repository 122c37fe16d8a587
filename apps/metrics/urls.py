"""Paths of what was measured; that of a machine is below the machine's."""

from django.urls import URLPattern, path

from apps.metrics.api import HostMetricsView

api_urlpatterns: list[URLPattern] = [
    path("hosts/<uuid:host_id>/metrics/", HostMetricsView.as_view(), name="host-metrics"),
]
