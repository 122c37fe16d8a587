"""Paths of what combines apps: pages, and the API below ``/api/v1/``."""

from django.urls import URLPattern, path

from apps.dashboard import api, group_views, placement_views, policy_views, views, what_if_api, what_if_views

urlpatterns: list[URLPattern] = [
    path("", views.overview, name="overview"),
    path("search/", views.search, name="search"),
    path("differences/", views.differences, name="differences"),
    path("differences/confirm/", views.differences_confirm, name="differences-confirm"),
    path("policies/", policy_views.policy_list, name="policy-list"),
    path("policies/new/", policy_views.policy_new, name="policy-create"),
    path("policies/<uuid:policy_id>/", policy_views.policy_detail, name="policy-detail"),
    path("policies/<uuid:policy_id>/edit/", policy_views.policy_update, name="policy-update"),
    path("policies/<uuid:policy_id>/delete/", policy_views.policy_remove, name="policy-delete"),
    path("placements/", placement_views.placement_list, name="placement-list"),
    path("placements/<uuid:placement_id>/", placement_views.placement_detail, name="placement-detail"),
    path("placement-groups/", group_views.group_list, name="group-list"),
    path("placement-groups/new/", group_views.group_create, name="group-create"),
    path("placement-groups/<uuid:group_id>/", group_views.group_detail, name="group-detail"),
    path("placement-groups/<uuid:group_id>/delete/", group_views.group_remove, name="group-delete"),
    path("what-if/", what_if_views.what_if, name="what-if"),
    path("what-if/badge/", what_if_views.what_if_badge, name="what-if-badge"),
]
api_urlpatterns: list[URLPattern] = [
    path("differences/", api.DifferencesView.as_view()),
    path("placements/what-if/", what_if_api.WhatIfView.as_view()),
    path("differences/confirm/", api.DifferencesConfirmView.as_view()),
]
