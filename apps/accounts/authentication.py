"""Who is asking: a bearer token or a signed-in browser, never two people at once."""

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication

from apps.accounts import selectors, tokens
from apps.accounts.models import User

INVALID = "The token is not valid. Sign in again."


class TokenAuthentication(JWTAuthentication):
    """``Authorization: Bearer <access token>``: the signature, then one cached read of the sign-in."""

    def authenticate(  # type: ignore[override]  # ours gives the claims instead of the library's token
        self, request: Request
    ) -> tuple[User, tokens.Claims] | None:
        """The person and the claims (``request.auth``), or None without a bearer token. Else a 401."""
        header = self.get_header(request)
        raw = self.get_raw_token(header) if header else None
        if raw is None:
            return None
        try:
            claims = tokens.read(tokens.Access, raw)
        except tokens.TokenInvalid as error:
            raise AuthenticationFailed(INVALID, code="auth.token_invalid") from error
        sign_in = selectors.sign_in_current(family_id=claims.family, user_id=claims.user)
        if sign_in is None or sign_in.scope != claims.scope:
            raise AuthenticationFailed(INVALID, code="auth.token_invalid")
        _refuse_second_identity(request, sign_in.user)
        return sign_in.user, claims


def _refuse_second_identity(request: Request, user: User) -> None:
    """A request with the cookie of one person and the token of another has no right answer."""
    browser: HttpRequest = request._request
    if settings.SESSION_COOKIE_NAME in browser.COOKIES and browser.user.is_authenticated and browser.user.pk != user.pk:
        raise AuthenticationFailed("The token and the session belong to two people.", code="auth.two_identities")


def binding_of(request: Request) -> str:
    """Which sign-in asks: what it is given for itself alone carries this name. Not a secret."""
    if isinstance(request.auth, tokens.Claims):
        return selectors.token_binding(request.auth.family)
    return selectors.session_binding(request._request.session.session_key or "")


class BrowserSessionAuthentication(SessionAuthentication):
    """The session cookie of the pages, with Django's CSRF check on everything that changes something."""
