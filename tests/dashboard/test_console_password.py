"""A one-time password on the tab "Console": asked for, waited for, shown once."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.operations.models import Operation
from tests.api.conftest import with_login  # noqa: F401  # a fixture
from tests.dashboard.looks import looks_right

SECRET = "abcd-efgh-ijkm-nopq"


def path(vm: Any, more: str = "") -> str:
    return f"/vms/{vm.pk}/{more}"


@pytest.fixture
def pages(client: Any, member: Any) -> Any:
    client.force_login(member, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.usefixtures("db")
class TestPages:
    def test_it_is_offered_where_it_can_be_set(self, pages: Any, member: Any, make_vm: Any, with_login: Any) -> None:  # noqa: F811
        button = 'data-open-dialog="console-password-dialog"'
        assert button in pages.get(path(with_login(member, "web-1"), "console/")).content.decode()
        for vm in (make_vm(member, "no-login"), with_login(member, "off", power="shutoff")):
            assert button not in pages.get(path(vm, "console/")).content.decode()
        paused = pages.get(path(with_login(member, "paused", power="paused"), "console/")).content.decode()
        assert f"{button} disabled" in paused

    def test_asking_and_being_refused(self, pages: Any, member: Any, with_login: Any) -> None:  # noqa: F811
        vm = with_login(member, "web-1")
        answer = pages.post(path(vm, "console-password/"), headers={"Referer": f"http://testserver{path(vm)}"})
        assert (answer.status_code, answer["Location"]) == (302, path(vm))
        assert Operation.objects.get().kind == "vm.console-password"
        again = pages.post(path(vm, "console-password/"), follow=True)
        assert "is busy" in again.content.decode()

    @pytest.mark.parametrize("htmx", [True, False], ids=["htmx", "no scripts"])
    def test_it_is_shown_once(self, pages: Any, member: Any, with_login: Any, htmx: bool) -> None:  # noqa: F811
        vm = with_login(member, "web-1", password=SECRET)
        page = pages.get(path(vm, "console/")).content.decode()
        assert "Show it now" in page
        assert SECRET not in page
        headers = {"HX-Request": "true"} if htmx else {}
        first, second = (pages.post(path(vm, "console-password/reveal/"), headers=headers) for _ in range(2))
        assert first["Cache-Control"] == "no-store"
        assert SECRET in first.content.decode()
        assert ("<html" in first.content.decode()) is not htmx
        assert SECRET not in second.content.decode()
        assert "There is no password to show" in second.content.decode()
        assert "Show it now" not in pages.get(path(vm, "console/")).content.decode()


@pytest.mark.django_db(transaction=True)
def test_in_a_browser(open_as: Callable[..., Page], member: Any, with_login: Any, complaints: list[str]) -> None:  # noqa: F811
    vm = with_login(member, "w" * 63, password=SECRET)
    page = open_as(member, path(vm, "console/"))
    page.get_by_role("button", name="One-time password").click()
    looks_right(page, "console-password-dialog")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show it now").click()
    expect(page.locator("#console-password")).to_have_text(SECRET)
    expect(page.get_by_role("button", name="Show it now")).to_have_count(0)
    looks_right(page, "console-password-shown")
    page.close()
    complaints[:] = [text for text in complaints if "WebSocket" not in text]  # nobody serves consoles here
