"""Paths of history."""

from django.urls import path

from apps.events import api

api_urlpatterns = [path("events/", api.EventListView.as_view())]
