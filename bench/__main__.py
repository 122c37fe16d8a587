"""``python -m bench [--quick] [--write] [--only create,changes,…]``, run by ``make bench``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import agent, changes, consoles, create, events, placement
from bench.figures import Result
from bench.report import Load, text, write
from bench.surroundings import inside, running_cloud, with_lab_host

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PARTS = ("placement", "agent", "create", "changes", "consoles", "events", "reconcile", "lists")


def say(sentence: str) -> None:
    """Progress, beside the result."""
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Measure against the same work by hand.")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look, not a figure")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.write and (options.quick or set(options.only) != set(PARTS)):
        parser.error("only a whole run is written")
    return options


def run(options: argparse.Namespace) -> list[Result]:
    """Everything that was asked for, in the order in which it needs fewer and fewer processes."""
    quick, results = options.quick, list[Result]()
    if "placement" in options.only:
        results.append(placement.measure(decisions=200 if quick else 2000, say=say))
    if "agent" in options.only:
        results.append(agent.measure(guests=100, samples=10 if quick else 60, say=say))
    if set(options.only) <= {"placement", "agent"}:
        return results
    with running_cloud(say) as cloud:
        inside(cloud)
        if set(options.only) - {"lists", "placement", "agent"}:
            with with_lab_host(cloud, say) as around:
                if "create" in options.only:
                    results.append(create.measure(around, repetitions=4 if quick else 15, say=say))
                if "changes" in options.only:
                    results.append(changes.measure(around, repetitions=2 if quick else 9, say=say))
                if "consoles" in options.only:
                    results.append(consoles.measure(around, consoles=5 if quick else 50, lines=10, say=say))
                if "events" in options.only:
                    results.append(events.measure(around, repetitions=3 if quick else 15, say=say))
                if "reconcile" in options.only:
                    from bench import reconcile  # imports models, which need what `inside` set up

                    sizes, repetitions = ([500], 5) if quick else ([500, 5000], 15)
                    results.append(reconcile.measure(around, sizes=sizes, repetitions=repetitions, say=say))
                    reconcile.forget()
        if "lists" in options.only:
            from bench import lists

            results.append(lists.measure(cloud, vms=5000, requests=40 if quick else 200, say=say))
    return results


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if os.geteuid() != 0 and set(options.only) - {"lists", "placement"}:
        say("a libvirt host in namespaces needs root: `sudo make bench`, or ARGS='--only lists'")
        return 2
    before = os.getloadavg()[0]
    results = run(options)
    load = Load(before=before, after=os.getloadavg()[0])
    print(text(results, load))
    if options.write:
        write(DOCUMENT, results, load)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
