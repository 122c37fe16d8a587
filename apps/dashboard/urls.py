"""Paths of what combines apps: pages, and the API below ``/api/v1/``."""

from django.urls import URLPattern, path

from apps.dashboard import api, views

urlpatterns: list[URLPattern] = [
    path("", views.overview, name="overview"),
    path("search/", views.search, name="search"),
    path("differences/", views.differences, name="differences"),
    path("differences/confirm/", views.differences_confirm, name="differences-confirm"),
]
api_urlpatterns: list[URLPattern] = [
    path("differences/", api.DifferencesView.as_view()),
    path("differences/confirm/", api.DifferencesConfirmView.as_view()),
]
