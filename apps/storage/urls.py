"""Paths of images: pages, and the API below ``/api/v1/``."""

from django.urls import URLPattern, path

from apps.storage import api, views

urlpatterns: list[URLPattern] = [
    path("images/", views.image_list, name="image-list"),
    path("images/new/", views.image_create, name="image-create"),
    path("images/prune/", views.image_prune, name="image-prune"),
    path("images/<uuid:image_id>/", views.image_detail, name="image-detail"),
    path("images/<uuid:image_id>/edit/", views.image_update, name="image-update"),
    path("images/<uuid:image_id>/delete/", views.image_delete, name="image-delete"),
]
api_urlpatterns: list[URLPattern] = [
    path("images/", api.ImageListView.as_view()),
    path("images/catalogue/", api.CatalogueView.as_view()),
    path("images/prune/", api.ImagePruneView.as_view()),
    path("images/<uuid:image_id>/", api.ImageView.as_view()),
    path("images/<uuid:image_id>/file/", api.ImageFileView.as_view()),
]
