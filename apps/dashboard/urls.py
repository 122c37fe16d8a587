"""Paths of the pages that combine apps."""

from django.urls import URLPattern, path

from apps.dashboard import views

urlpatterns: list[URLPattern] = [
    path("", views.overview, name="overview"),
    path("search/", views.search, name="search"),
]
