"""When the agent samples, and how it is told."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from agents.host.cloudsite_agent.schedule import Schedule, ScheduleFile, Ticker, UnusableSchedule

GOOD = {"version": 3, "interval": 10, "guests": False, "cores": True}


def test_it_survives_a_restart(tmp_path: Path) -> None:
    file = ScheduleFile(tmp_path / "schedule.json")
    assert file.current == Schedule(version=0, interval=5, guests=True, cores=True)
    assert file.adopt(GOOD) is True
    assert file.adopt(GOOD) is False
    assert ScheduleFile(tmp_path / "schedule.json").current == Schedule(version=3, interval=10, guests=False)
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"version": 3}', "\0"])
def test_a_damaged_file_is_the_default(tmp_path: Path, content: str) -> None:
    (tmp_path / "schedule.json").write_text(content)
    assert ScheduleFile(tmp_path / "schedule.json").current == Schedule()


def test_it_is_in_force_also_when_it_cannot_be_stored(tmp_path: Path) -> None:
    file = ScheduleFile(tmp_path / "away" / "schedule.json")
    with pytest.raises(OSError, match="away"):
        file.adopt(GOOD)
    assert file.current.interval == 10


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"interval": 0}, "interval"),
        ({"interval": 301}, "interval"),
        ({"interval": 5.5}, "interval"),
        ({"interval": True}, "interval"),
        ({"interval": "5"}, "interval"),
        ({"version": -1}, "version"),
        ({"guests": 1}, "guests"),
        ({"cores": None}, "cores"),
        ({"more": 1}, "unknown: more"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(tmp_path: Path, change: dict[str, object], named: str) -> None:
    file = ScheduleFile(tmp_path / "schedule.json")
    with pytest.raises(UnusableSchedule, match=named):
        file.adopt(GOOD | change)
    assert file.current == Schedule()


@settings(max_examples=40)
@given(
    some.one_of(
        some.none(), some.integers(), some.text(), some.lists(some.text()), some.dictionaries(some.text(), some.none())
    )
)
def test_nonsense_is_refused(document: object) -> None:
    with pytest.raises(UnusableSchedule):
        Schedule.parse(document)


class Clock:
    def __init__(self) -> None:
        self.monotonic, self.wall = 500.0, 1_000_003.7

    def ticker(self, interval: float) -> Ticker:
        return Ticker(interval, monotonic=lambda: self.monotonic, wall=lambda: self.wall)

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


def test_samples_lie_on_multiples_of_the_interval() -> None:
    clock = Clock()
    ticker = clock.ticker(5)
    assert ticker.seconds_left() == pytest.approx(1.3)


@settings(max_examples=40)
@given(late=some.lists(some.floats(0, 4.9), max_size=50))
def test_being_late_never_moves_the_next_one(late: list[float]) -> None:
    clock = Clock()
    ticker = clock.ticker(5)
    for seconds in late:
        clock.pass_by(ticker.seconds_left() + seconds)
        assert ticker.advance() == 0
        moment = clock.wall + ticker.seconds_left()
        assert moment == pytest.approx(5 * round(moment / 5), abs=1e-3)


def test_what_was_missed_is_skipped_and_counted() -> None:
    clock = Clock()
    ticker = clock.ticker(5)
    clock.pass_by(ticker.seconds_left() + 17)
    assert ticker.seconds_left() == 0
    assert ticker.advance() == 3
    assert ticker.seconds_left() == pytest.approx(3)


def test_a_clock_that_is_set_changes_nothing() -> None:
    clock = Clock()
    ticker = clock.ticker(5)
    clock.wall -= 3600
    clock.pass_by(ticker.seconds_left())
    assert ticker.advance() == 0
    assert ticker.seconds_left() == pytest.approx(5)
