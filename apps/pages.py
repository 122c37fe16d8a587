"""What every page needs: a signed-in person, refusals as messages or at the field, plans, cursors.

Services and selectors raise ``AppError``; here it becomes what a browser understands.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.middleware import HtmxDetails
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from apps.accounts.models import Role, User
from apps.envelope.pagination import Cursor
from apps.errors import AppError, Forbidden, NotFound, Refused, refused

P = ParamSpec("P")
Row = TypeVar("Row")
Result = TypeVar("Result")


class PageRequest(HttpRequest):
    """The request of a signed-in person, with what the middlewares add."""

    user: User
    htmx: HtmxDetails


View = Callable[Concatenate[PageRequest, P], HttpResponse]


def page(view: View[P]) -> View[P]:
    """A page that is read: GET and HEAD only."""
    return require_safe(login_required(_answering(view)))


def form_page(view: View[P]) -> View[P]:
    """A page with a form: GET shows it, POST sends it."""
    return require_http_methods(["GET", "HEAD", "POST"])(login_required(_answering(_changing(view))))


def action(view: View[P]) -> View[P]:
    """A button: POST only. A refusal is a message on the page that the person came from."""

    @functools.wraps(view)
    def wrapper(request: PageRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            _no_null_characters(request)
            with transaction.atomic():
                return view(request, *args, **kwargs)
        except (Forbidden, NotFound):
            raise
        except AppError as error:
            messages.error(request, error.detail)
            return back(request)

    return require_POST(login_required(_answering(_changing(cast(View[P], wrapper)))))


def _answering(view: View[P]) -> View[P]:
    @functools.wraps(view)
    def wrapper(request: PageRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except NotFound as error:
            raise Http404(error.detail) from error
        except Forbidden as error:
            raise PermissionDenied(error.detail) from error

    return cast(View[P], wrapper)


def _changing(view: View[P]) -> View[P]:
    """A viewer changes nothing, whatever the service behind it would allow."""

    @functools.wraps(view)
    def wrapper(request: PageRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.method == "POST" and request.user.role == Role.VIEWER and not request.user.is_admin:
            raise Forbidden("role.read_only", "Your role only reads.")
        return view(request, *args, **kwargs)

    return cast(View[P], wrapper)


def _no_null_characters(request: HttpRequest) -> None:
    """A button has no form whose fields would refuse what PostgreSQL cannot even look for."""
    for name, values in request.POST.lists():
        if any("\x00" in value for value in values):
            raise refused(name[:60], "request.unparsable", f"The field {name[:60]!r} holds a NUL character.")


def back(request: PageRequest) -> HttpResponse:
    """To the page that the person came from, if it is one of ours. Within htmx: reload it."""
    origin = (request.htmx.current_url if request.htmx else None) or request.headers.get("Referer") or ""
    if not url_has_allowed_host_and_scheme(origin, allowed_hosts={request.get_host()}):
        origin = "/"
    parts = urlsplit(origin)
    path = parts.path if parts.path.startswith("/") else "/"
    return redirect(f"{path}?{parts.query}" if parts.query else path)


def preview(change: Callable[[], Result]) -> Result:
    """Run a service for its plan alone: everything it writes is rolled back, and no worker is rung."""
    with transaction.atomic():
        result = change()
        transaction.set_rollback(True)
    return result


@contextmanager
def fields_named(**names: str) -> Iterator[None]:
    """Translate a service's field names into the form's, where one form feeds two services."""
    try:
        yield
    except AppError as error:
        error.errors = tuple(replace(item, field=names.get(item.field, item.field)) for item in error.errors)
        raise


def show_refusal(form: Form, error: AppError) -> None:
    """Put a refusal at the fields it names; what belongs to no field stands above the form."""
    at_fields = [item for item in error.errors if item.field in form.fields]
    for item in at_fields:
        form.add_error(item.field, item.detail)
    if not at_fields:
        form.add_error(None, error.detail)


def render_form(request: PageRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A form page: 422 once the form has errors, so that scripts and browsers can tell."""
    return render(request, template, context, status=422 if context["form"].errors else 200)


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    """One page of a long list, with links to its neighbours."""

    rows: list[Row]
    next: str | None
    previous: str | None


def page_of(request: HttpRequest, found: QuerySet[Any, Row], *, ordering: tuple[str, str]) -> Page[Row]:
    """The page of a list that the query's cursor names. What is no page of it is a 404."""
    pager = Cursor()
    pager.ordering = ordering
    try:
        rows = pager.paginate_queryset(found, Request(request))
    except (APIException, Refused) as error:
        raise Http404("This page does not exist.") from error
    links = pager.get_next_link(), pager.get_previous_link()
    return Page(rows=list(rows or []), next=_relative(links[0]), previous=_relative(links[1]))


def _relative(link: str | None) -> str | None:
    return f"?{urlsplit(link).query}" if link else None


def show(request: PageRequest, template: str, fragment: str, context: dict[str, Any]) -> HttpResponse:
    """The whole page, or for htmx only the part of it that changes."""
    wanted = fragment if request.htmx and not request.htmx.history_restore_request else template
    response = render(request, wanted, context)
    patch_vary_headers(response, ["HX-Request"])
    return response
