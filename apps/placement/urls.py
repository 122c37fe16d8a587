"""Paths of decisions."""

from django.urls import path

from apps.placement import api

api_urlpatterns = [
    path("placements/", api.PlacementListView.as_view()),
    path("placements/<uuid:placement_id>/", api.PlacementView.as_view()),
]
