"""Paths of networks: the API below ``/api/v1/``."""

from django.urls import URLPattern, path

from apps.network import api

api_urlpatterns: list[URLPattern] = [
    path("networks/", api.NetworkListView.as_view()),
    path("networks/<uuid:network_id>/", api.NetworkView.as_view()),
]
