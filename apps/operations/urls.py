"""Paths of operations: pages, and the API below ``/api/v1/``."""

from django.urls import URLPattern, path

from apps.operations import api, views

urlpatterns: list[URLPattern] = [
    path("operations/", views.operation_list, name="operation-list"),
    path("operations/<uuid:operation_id>/", views.operation_detail, name="operation-detail"),
    path("operations/<uuid:operation_id>/cancel/", views.operation_cancel, name="operation-cancel"),
    path("operations/<uuid:operation_id>/retry/", views.operation_retry, name="operation-retry"),
]
api_urlpatterns: list[URLPattern] = [
    path("operations/", api.OperationListView.as_view()),
    path("operations/<uuid:operation_id>/", api.OperationView.as_view()),
    path("operations/<uuid:operation_id>/cancel/", api.OperationCancelView.as_view()),
    path("operations/<uuid:operation_id>/retry/", api.OperationRetryView.as_view()),
]
