"""What concerns a signed-in browser."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers, patch_vary_headers

GetResponse = Callable[[HttpRequest], HttpResponse]


class CurrentSession:
    """Pages of a signed-in person are kept by no cache, and an ended session sends htmx to the sign-in page.

    That a session ends at once with a new password, a raised epoch or a deactivation needs no code here:
    Django compares ``User.get_session_auth_hash`` and ``is_active`` on every request.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.user.is_authenticated and not response.has_header("Cache-Control"):
            add_never_cache_headers(response)
            patch_vary_headers(response, ["Cookie"])
        if request.headers.get("HX-Request") == "true" and _leads_to_sign_in(response):
            # A redirect would be followed by the browser and the sign-in page swapped into a fragment.
            moved = HttpResponse(status=401)
            moved["HX-Redirect"] = response["Location"].split("?")[0]
            return moved
        return response


def _leads_to_sign_in(response: HttpResponse) -> bool:
    from django.conf import settings
    from django.shortcuts import resolve_url

    if response.status_code != 302:
        return False
    return response["Location"].split("?")[0] == resolve_url(settings.LOGIN_URL)
