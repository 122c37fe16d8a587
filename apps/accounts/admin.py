"""People in the admin. Everything that gives or takes access goes through the services."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.accounts import services
from apps.accounts.models import Role, SSHKey, TokenFamily, User
from apps.accounts.selectors import require_admin
from apps.envelope.admin import ReadOnlyAdmin
from apps.errors import AppError

admin.site.unregister(Group)  # roles decide here; a group would promise rights that nobody reads


def sign_in(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """The admin has no door of its own: the site's sign-in counts attempts and tells nothing."""
    if request.user.is_authenticated:
        raise PermissionDenied("The admin is for administrators.")
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))


def password_change(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """One's own password is changed where the attempts are counted."""
    return redirect("password-change")


admin.site.login = sign_in  # type: ignore[method-assign]
admin.site.password_change = password_change  # type: ignore[method-assign,assignment]


class NewUserForm(forms.ModelForm[User]):
    password = forms.CharField(
        strip=False,
        help_text="At least 12 characters. They can change it after signing in.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = User
        fields = ("username", "role")


class UserForm(forms.ModelForm[User]):
    new_password = forms.CharField(
        required=False,
        strip=False,
        help_text="Leave empty to keep it. A new one ends all their sessions and tokens.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = User
        fields: tuple[str, ...] = ()


@admin.register(User)
class UserAdmin(admin.ModelAdmin[User]):
    """Read-mostly: a user is made here, gets a new password here, and is never deleted."""

    list_display = ("username", "role", "is_active", "last_login", "date_joined")
    list_filter = ("role", "is_active")
    search_fields = ("username", "id")
    ordering = ("username",)
    actions = ("deactivate", "activate", "sign_out_everywhere", "make_admin", "make_member", "make_viewer")

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change=change, **kwargs | {"form": UserForm if obj else NewUserForm})

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return ("username", "role", "password")
        return (*self.get_readonly_fields(request, obj), "new_password")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return ("id", "username", "role", "is_active", "last_login", "date_joined", "token_epoch") if obj else ()

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Django's, telling refusals. Its transaction has been rolled back then."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except AppError as error:
            messages.error(request, error.detail)
            return redirect(request.path)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        actor, given = require_admin(request.user), form.cleaned_data
        if not change:
            made = services.user_create(
                actor=actor, username=given["username"], password=given["password"], role=Role(given["role"])
            )
            obj.pk = made.pk  # the admin goes on with what the service made
            obj.refresh_from_db()
        elif given["new_password"]:
            services.password_set(actor=actor, user_id=obj.pk, password=given["new_password"])

    @admin.action(description="Deactivate: end all access at once")
    def deactivate(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        _each(request, chosen, lambda actor, user: services.user_deactivate(actor=actor, user_id=user.pk))

    @admin.action(description="Activate")
    def activate(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        _each(request, chosen, lambda actor, user: services.user_activate(actor=actor, user_id=user.pk))

    @admin.action(description="Sign out everywhere")
    def sign_out_everywhere(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        _each(request, chosen, lambda actor, user: services.user_sign_out_everywhere(actor=actor, user_id=user.pk))

    @admin.action(description="Make administrator")
    def make_admin(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        self._give(request, chosen, Role.ADMIN)

    @admin.action(description="Make member")
    def make_member(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        self._give(request, chosen, Role.MEMBER)

    @admin.action(description="Make viewer")
    def make_viewer(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        self._give(request, chosen, Role.VIEWER)

    def _give(self, request: HttpRequest, chosen: QuerySet[User], role: Role) -> None:
        _each(request, chosen, lambda actor, user: services.user_role_set(actor=actor, user_id=user.pk, role=role))


def _each(request: HttpRequest, chosen: QuerySet[Any], act: Callable[[User, Any], object]) -> None:
    """Act on each row that was chosen; a refusal is told and does not stop the others."""
    for item in chosen:
        try:
            act(require_admin(request.user), item)
            messages.success(request, f"{item}: done")
        except AppError as error:
            messages.error(request, f"{item}: {error.detail}")


@admin.register(SSHKey)
class SSHKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "owner", "fingerprint", "created_at")
    search_fields = ("name", "fingerprint", "owner__username")
    list_select_related = ("owner",)


@admin.register(TokenFamily)
class TokenFamilyAdmin(ReadOnlyAdmin):
    """Sign-ins over the API."""

    list_display = ("user", "scope", "created_at", "used_at", "expires_at", "revoked_at")
    list_filter = ("scope",)
    search_fields = ("user__username",)
    list_select_related = ("user",)
    exclude = ("credentials", "current")
    actions = ("revoke",)

    @admin.action(description="End these sign-ins")
    def revoke(self, request: HttpRequest, chosen: QuerySet[TokenFamily]) -> None:
        _each(request, chosen, lambda actor, family: services.family_revoke(actor=actor, family_id=family.pk))
