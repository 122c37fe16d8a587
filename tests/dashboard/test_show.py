"""How values look on pages."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from apps.dashboard.templatetags import show
from apps.dashboard.templatetags.advice import ADVICE, advice
from hypervisor.errors import HypervisorError
from workers.tasks import HANDLERS


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (512, "512 MiB"), (1024, "1 GiB"), (1536, "1.5 GiB"), (14745.6, "14.4 GiB")]
)
def test_memory(value: float | None, text: str) -> None:
    assert show.mib(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "just now"), (90, "1 min ago"), (7200, "2 h ago"), (100_000, "yesterday"), (300_000, "3 days ago")],
)
def test_ago(seconds: int, text: str) -> None:
    assert show.ago(timezone.now() - timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(("part", "whole", "share"), [(1, 4, 25), (5, 4, 100), (3, 0, 0), (None, 4, 0)])
def test_percent(part: int | None, whole: int, share: int) -> None:
    assert show.percent(part, whole) == share


def test_every_kind_of_operation_has_a_name() -> None:
    assert set(HANDLERS) <= set(show.VERBS)


def test_every_icon_of_an_event_is_there() -> None:
    icons = Path(settings.BASE_DIR) / "templates" / "icons"
    assert all((icons / f"{name}.svg").is_file() for name in {*show.EVENT_ICONS.values(), "bolt"})


@pytest.mark.parametrize(
    ("kind", "message", "icon", "tone", "text"),
    [
        ("vm.power-off", "vm.power-off was requested", "power", "", "Power off was requested"),
        ("vm.create", "vm.create failed: no room", "exclamation-triangle", "bad", "Create failed: no room"),
        ("vm.create", "vm.create succeeded", "check", "good", "Create succeeded"),
        ("vm.stopped", "Shut down from inside the guest", "stop", "", "Shut down from inside the guest"),
    ],
)
def test_an_event(kind: str, message: str, icon: str, tone: str, text: str) -> None:
    event = SimpleNamespace(kind=kind, message=message)
    assert (show.event_icon(event), show.event_tone(event), show.happened(event)) == (f"icons/{icon}.svg", tone, text)


def operation(**values: Any) -> Any:
    return SimpleNamespace(**{"step": "", "status": "running", "run_after": timezone.now(), **values})


def test_a_postponed_operation_says_when_it_is_tried_again() -> None:
    later = timezone.now() + timedelta(seconds=30.9)
    waiting = operation(step="h1 does not answer.", status="queued", run_after=later)
    assert show.step_now(waiting) == "H1 does not answer, next try in 30 s"
    assert show.step_now(operation(status="queued")) == "Waiting for a worker"
    assert show.step_now(operation()) == "Working"


def error_codes(error: type[HypervisorError]) -> set[str]:
    return {error.code}.union(*(error_codes(child) for child in error.__subclasses__()))


def test_every_failure_has_advice() -> None:
    """StaleFence never fails an operation: somebody else carries it on. The root is never raised itself."""
    assert error_codes(HypervisorError) - {"stale-fence", "hypervisor-error"} <= set(ADVICE)
    for code in ("something.new", *ADVICE):
        assert advice(SimpleNamespace(error_code=code, retryable=True)).endswith((".", ")."))
    assert "change the request" in advice(SimpleNamespace(error_code="something.new", retryable=False))
