"""The access token of a test that uses a cloud over HTTP."""

from collections.abc import Callable, Generator

import httpx2 as httpx


class Token(httpx.Auth):
    """A bearer token that is renewed when it has expired, as it does in the middle of a long test."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self.renew = renew
        self.value = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.value}"
        answer = yield request
        if answer.status_code == 401:
            self.renew()
            request.headers["Authorization"] = f"Bearer {self.value}"
            yield request
