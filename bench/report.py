"""The one table of a run, for a terminal and for ``docs/benchmarks.md``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Limit, Line, Result

HEAD = ("work", "ours", "by hand", "ratio", "must", "moonshot")
MACHINE = "2 shared vCPUs, TCG guests, one libvirt host over qemu+tls in namespaces of the same machine"


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load average (1 minute) before and after, which says how much the machine was shared."""

    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.before:.1f} before, {self.after:.1f} after"


def cells(line: Line) -> tuple[str, ...]:
    return (line.work, line.ours, line.peer, line.ratio, _limit(line.must), _limit(line.moonshot))


def _limit(limit: Limit | None) -> str:
    return "-" if limit is None else str(limit)


def markdown_table(results: Sequence[Result]) -> str:
    """The table in Markdown, its columns as wide as their widest cell: readable as text too."""
    rows = [HEAD, *(cells(line) for result in results for line in result.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    head, *body = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([head, rule, *body])


def text(results: Sequence[Result], load: Load) -> str:
    """Everything that was found, for people."""
    notes = [f"- {note}" for result in results for note in result.notes]
    checked = [f"- {check}" for result in results for check in result.checked]
    parts = [f"{MACHINE}; load average {load}.", markdown_table(results)]
    if notes:
        parts.append("Remarks:\n\n" + "\n".join(notes))
    if checked:
        parts.append("Checked after measuring:\n\n" + "\n".join(checked))
    return "\n\n".join(parts)


INTRODUCTION = """# Benchmarks

Written by `make bench ARGS=--write`. Ours and the same work by hand take turns in one run, so that the ratio
means something even where the machine is busy; absolute times do not carry over to another machine. A time is
a median with half the distance between the quartiles, or p50 and p99; n is how often it was measured.

"Must" is what a release has to reach, "moonshot" what we aim at. The reconcile is judged at 5,000 domains on one
host; at 500 its fixed part (leases, the host's own row, three calls) weighs ten times as much. Not measured here:
virt-install as a peer of the create, other panels as peers of the list, and the connection to 100 hosts.
"""


def write(path: Path, results: Sequence[Result], load: Load) -> None:
    path.write_text(f"{INTRODUCTION}\n{text(results, load)}\n")
