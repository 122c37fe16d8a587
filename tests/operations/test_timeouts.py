"""The one inequality of time-outs, asserted at start-up."""

from itertools import pairwise
from typing import Any

import pytest

from apps.operations import timeouts

CHAIN = ["KEEPALIVE", "HOST_CALL", "SELF_KILL", "LEASE", "VISIBILITY", "DEADLINE"]


def test_they_are_in_order() -> None:
    assert timeouts.timeouts_are_ordered() == []


@pytest.mark.parametrize(("lower", "higher"), list(pairwise(CHAIN)))
def test_a_wrong_order_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch, lower: str, higher: str) -> None:
    monkeypatch.setattr(timeouts, lower, getattr(timeouts, higher))
    assert [error.id for error in timeouts.timeouts_are_ordered()] == ["operations.E001"]


def test_one_factor_scales_all(settings: Any) -> None:
    def scaled() -> list[float]:
        return [
            timeouts.host_call(),
            timeouts.self_kill(),
            timeouts.lease(),
            timeouts.visibility(),
            timeouts.deadline(),
        ]

    settings.TIME_SCALE = 1.0
    real = scaled()
    settings.TIME_SCALE = 0.1
    assert scaled() == pytest.approx([seconds / 10 for seconds in real])
