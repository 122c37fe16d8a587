"""Pages: sign in, sign out, password, SSH keys."""

import uuid

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import services
from apps.accounts.forms import PasswordChangeForm, SignInForm, SSHKeyForm
from apps.accounts.models import User
from apps.accounts.selectors import ssh_keys_for
from apps.accounts.throttles import client_address, wait_before_attempt
from apps.errors import AppError, Refused
from apps.pages import PageRequest, action, form_page, page, render_form, show_refusal

TOO_MANY = "Too many attempts. Wait a few minutes, then try again."


def next_path(request: HttpRequest) -> str:
    """Where to go after signing in: what ``next`` says if it is ours, else the overview."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    own = {request.get_host()}
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=own, require_https=request.is_secure()):
        return wanted
    return resolve_url(settings.LOGIN_REDIRECT_URL)


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The door. Nothing of an anonymous visitor is kept, so nobody can flood the sessions."""
    if request.user.is_authenticated and request.method != "POST":
        return redirect(next_path(request))
    form = SignInForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = _try(request, form)
        if status == 302:
            return redirect(next_path(request))
    context = {"form": form, "next": request.POST.get("next") or request.GET.get("next") or ""}
    return render(request, "accounts/sign_in.html", context, status=status)


def _try(request: HttpRequest, form: SignInForm) -> int:
    """302 when they are signed in now, else the status of the page that says why not."""
    if wait_before_attempt(key=client_address(request)):
        form.add_error(None, TOO_MANY)
        return 429
    if not form.is_valid():
        return 422
    user = services.password_verify(request=request, **form.cleaned_data)
    if getattr(request, "axes_locked_out", False):
        request.axes_locked_out = False  # type: ignore[attr-defined]  # else axes replaces this page by its own
        form.add_error(None, TOO_MANY)
        return 429
    if user is None:
        form.add_error(None, "Wrong user name or password.")
        return 422
    login(request, user)  # a new session key, and a new CSRF token
    return 302


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this browser's session, on the server too."""
    logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


@sensitive_post_parameters()
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def password_change(request: PageRequest) -> HttpResponse:
    """A new password, for viewers too. This browser stays signed in; every other session and all tokens end."""
    form = PasswordChangeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = _new_password(request, form)
        except AppError as error:
            show_refusal(form, error)
        else:
            update_session_auth_hash(request, user)
            messages.success(request, "Your password was changed. All other sessions and tokens have ended.")
            return redirect(settings.LOGIN_REDIRECT_URL)
    return render_form(request, "accounts/password_change.html", {"form": form, "section": "account"})


def _new_password(request: PageRequest, form: PasswordChangeForm) -> User:
    if wait_before_attempt(key=f"person:{request.user.pk}"):
        raise Refused("request.throttled", TOO_MANY)
    return services.password_change(
        actor=request.user,
        current=form.cleaned_data["current_password"],
        new=form.cleaned_data["new_password"],
    )


@page
def ssh_key_list(request: PageRequest) -> HttpResponse:
    """My SSH keys."""
    return render(
        request,
        "accounts/ssh_key_list.html",
        {"keys": ssh_keys_for(actor=request.user), "section": "ssh-keys"},
    )


@form_page
def ssh_key_create(request: PageRequest) -> HttpResponse:
    """Add a public key."""
    form = SSHKeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            key = services.ssh_key_create(actor=request.user, **form.cleaned_data)
        except AppError as error:
            show_refusal(form, error)
        else:
            messages.success(request, f"The SSH key {key.name} was added.")
            return redirect("ssh-key-list")
    return render_form(request, "accounts/ssh_key_create.html", {"form": form, "section": "ssh-keys"})


@action
def ssh_key_delete(request: PageRequest, key_id: uuid.UUID) -> HttpResponse:
    """Remove a key. Machines that were made with it keep accepting it."""
    key = services.ssh_key_delete(actor=request.user, key_id=key_id)
    messages.success(request, f"The SSH key {key.name} was deleted.")
    return redirect("ssh-key-list")
