"""The admin is Django's: it looks up what it is given without asking whether the column can take it."""

from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from cloudsite.middleware import GetResponse
from cloudsite.views import bad_request

REFUSED = (ValidationError, DataError)  # an id that is none; a text with a NUL character


class AdminInput:
    """400 for an id, a filter or a search in the admin that no row can have, instead of an error of ours."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, REFUSED) and request.path.startswith(reverse("admin:index")):
            return bad_request(request, exception)
        return None
