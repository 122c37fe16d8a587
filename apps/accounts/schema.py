"""How the two ways of signing in are called in the OpenAPI document."""

from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    target_class = "apps.accounts.authentication.TokenAuthentication"
    name = "bearerToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class BrowserSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "apps.accounts.authentication.BrowserSessionAuthentication"
    name = "browserSession"
