"""Paths of people, keys and tokens: pages, and the API below ``/api/v1/``."""

from django.urls import path

from apps.accounts import api, views

urlpatterns = [
    path("sign-in/", views.sign_in, name="sign-in"),
    path("sign-out/", views.sign_out, name="sign-out"),
    path("account/password/", views.password_change, name="password-change"),
    path("ssh-keys/", views.ssh_key_list, name="ssh-key-list"),
    path("ssh-keys/new/", views.ssh_key_create, name="ssh-key-create"),
    path("ssh-keys/<uuid:key_id>/delete/", views.ssh_key_delete, name="ssh-key-delete"),
]

api_urlpatterns = [
    path("token/", api.TokenView.as_view()),
    path("token/refresh/", api.TokenRefreshView.as_view()),
    path("token/revoke/", api.TokenRevokeView.as_view()),
    path("me/", api.MeView.as_view()),
    path("me/password/", api.MePasswordView.as_view()),
    path("ssh-keys/", api.SSHKeyListView.as_view()),
    path("ssh-keys/<uuid:key_id>/", api.SSHKeyView.as_view()),
]
