"""The statistics of the benchmarks. No time is measured here."""

import pytest

from bench.figures import Limit, Line, Result, Sample, at_most, milliseconds, ratio
from bench.report import Load, markdown_table, text


class TestSample:
    def test_median_of_an_even_number_lies_between_the_middle_two(self) -> None:
        assert Sample([0.4, 0.1, 0.3, 0.2]).median == pytest.approx(0.25)

    @pytest.mark.parametrize(("percent", "wanted"), [(1, 1), (50, 50), (99, 99), (100, 100)])
    def test_a_percentile_is_a_time_that_was_measured(self, percent: float, wanted: float) -> None:
        assert Sample(list(range(100, 0, -1))).percentile(percent) == wanted

    def test_p99_of_few_is_the_worst(self) -> None:
        assert Sample([1, 2, 30]).percentile(99) == 30

    def test_one_outlier_does_not_change_median_and_spread(self) -> None:
        calm, rough = Sample([1, 2, 3, 4, 5, 6, 7, 8]), Sample([1, 2, 3, 4, 5, 6, 7, 800])
        assert (calm.median, calm.spread) == (rough.median, rough.spread) == (4.5, 4)

    def test_nothing_is_no_sample(self) -> None:
        with pytest.raises(ValueError, match="nothing"):
            Sample([])

    @pytest.mark.parametrize("percent", [0, -1, 101])
    def test_no_such_percentile(self, percent: float) -> None:
        with pytest.raises(ValueError, match="percentile"):
            Sample([1]).percentile(percent)


def test_the_ratio_is_ours_over_the_peer() -> None:
    assert ratio(Sample([3, 3, 100]), Sample([2, 2, 2])) == 1.5
    with pytest.raises(ValueError, match="no time"):
        ratio(Sample([1]), Sample([0]))


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(0.0012345, "1.23 ms"), (0.0123, "12.3 ms"), (1.2345, "1234 ms"), (-0.02, "-20.0 ms")]
)
def test_milliseconds_have_three_digits(seconds: float, wanted: str) -> None:
    assert milliseconds(seconds) == wanted


def test_a_limit_is_met_at_its_very_value() -> None:
    assert str(at_most(1.1, 1.1, "≤ 1.1")) == "≤ 1.1: met"
    assert str(at_most(1.11, 1.1, "≤ 1.1")) == "≤ 1.1: missed"
    assert str(Limit(text="x", met=None)) == "x: not measured"


def test_the_report_shows_what_was_missed_and_what_was_checked() -> None:
    line = Line(work="w", ours="2 ms", peer="1 ms", ratio="2.0", must=at_most(2, 1, "≤ 1"))
    result = Result(lines=[line], notes=["a note"], checked=["a check"])
    head, _rule, row = markdown_table([result]).splitlines()
    assert len(head) == len(row)
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["w", "2 ms", "1 ms", "2.0", "≤ 1: missed", "-"]
    report = text([result], Load(before=1.25, after=8))
    assert "load average 1.2 before, 8.0 after" in report
    assert "- a note" in report
    assert "- a check" in report
