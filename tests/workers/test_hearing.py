"""A worker that hears no bell although they ring ends itself; one that hears some does not."""

import os
import signal
import threading
from typing import Any

import pytest
from celery.signals import task_received

from workers import hearing
from workers.hearing import Hearing


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(hearing, "time", clock)
    return clock


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that the worker sent to itself."""
    signals: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append(number))
    monkeypatch.setattr(threading.Timer, "start", lambda timer: None)
    return signals


def test_a_deaf_worker_ends_itself(clock: Clock, ended: list[int]) -> None:
    ears = Hearing()
    clock.now += hearing.patience() + 1
    ears.check()
    assert ended == [signal.SIGTERM]


def test_one_that_heard_a_bell_goes_on(clock: Clock, ended: list[int]) -> None:
    ears = Hearing()
    clock.now += hearing.patience() + 1
    task_received.send(sender=None, request=None)
    ears.check()
    assert ended == []


def test_one_that_waits_for_its_busy_children_goes_on(clock: Clock, ended: list[int], settings: Any) -> None:
    ears = Hearing()
    clock.now += hearing.patience() / 2
    ears.check()
    assert ended == []
