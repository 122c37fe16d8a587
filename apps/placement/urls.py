"""Paths of decisions."""

from django.urls import path

from apps.placement import api, group_api, policy_api

api_urlpatterns = [
    path("placements/", api.PlacementListView.as_view()),
    path("placement-groups/", group_api.PlacementGroupListView.as_view()),
    path("placement-groups/<uuid:group_id>/", group_api.PlacementGroupView.as_view()),
    path("policies/", policy_api.PolicyListView.as_view()),
    path("policies/<uuid:policy_id>/", policy_api.PolicyView.as_view()),
    path("policies/<uuid:policy_id>/history/", policy_api.PolicyHistoryView.as_view()),
    path("placements/explain/", api.PlacementExplainView.as_view()),
    path("placements/batch/", api.PlacementBatchView.as_view()),
    path("placements/<uuid:placement_id>/", api.PlacementView.as_view()),
]
