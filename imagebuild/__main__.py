"""`python3 -m imagebuild <probe|tiny|debian-12>`: progress on stderr, one JSON line on stdout."""

import argparse
import json
import sys
from pathlib import Path

from imagebuild import cache, debian, disk, probe, tiny
from imagebuild.errors import BuildError
from imagebuild.progress import Progress


def main(argv: list[str] | None = None) -> int:
    """Build what was asked for; a failure is one sentence and status 1."""
    arguments = _parser().parse_args(argv)
    try:
        result = arguments.command(arguments)
    except BuildError as error:
        print(f"imagebuild: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="imagebuild", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command, out in (
        ("probe", _probe, "directory for vmlinuz, initrd and manifest.json"),
        ("tiny", _tiny, "qcow2 file to write"),
        ("debian-12", _debian, "qcow2 file to write"),
    ):
        sub = commands.add_parser(name)
        sub.add_argument("--out", type=Path, required=True, help=out)
        sub.add_argument("--cache", type=Path, default=cache.default_cache(), help="where finished builds are kept")
        sub.set_defaults(command=command)
    sub.add_argument("--source", choices=("auto", "vendor", "packages"), default="auto")
    sub.add_argument("--refresh", action="store_true", help="do not use what the cache has")
    return parser


def _probe(arguments: argparse.Namespace) -> dict[str, object]:
    built = probe.build(cache_dir=arguments.cache.resolve(), progress=Progress(total=probe.STEPS))
    return {"path": str(arguments.out), **probe.write(built, out=arguments.out)}


def _tiny(arguments: argparse.Namespace) -> dict[str, object]:
    built = tiny.build(cache_dir=arguments.cache.resolve(), progress=Progress(total=tiny.STEPS))
    return _finish(built, out=arguments.out, source="packages")


def _debian(arguments: argparse.Namespace) -> dict[str, object]:
    image = debian.build(
        cache_dir=arguments.cache.resolve(),
        progress=Progress(total=debian.STEPS),
        choice=arguments.source,
        refresh=arguments.refresh,
    )
    return _finish(image.path, out=arguments.out, source=image.source)


def _finish(built: Path, *, out: Path, source: str) -> dict[str, object]:
    cache.publish(built, out)
    return {
        "path": str(out.resolve()),
        "sha256": cache.sha256_file(out),
        "source": source,
        "virtual_size": disk.virtual_size(out),
    }


if __name__ == "__main__":
    sys.exit(main())
