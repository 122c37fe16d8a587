"""The image every installation starts with and the kernel that proves accelerators: root builds them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from bootstrap.commands import as_root, is_root, run
from bootstrap.console import say
from bootstrap.process_table import Surroundings
from bootstrap.settings import CODE_DIR, Settings

BUILD_SECONDS = 1800.0
PROBE_SECONDS = 600.0
COPY_SECONDS = 60.0


def recipe() -> str:
    """A digest of the code that builds images: another recipe, another image."""
    digest = hashlib.sha256()
    for path in sorted((CODE_DIR / "imagebuild").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def probe_dir(settings: Settings) -> Path:
    return settings.images_dir / "probe"


def image_record(settings: Settings) -> Path:
    """Written when the image is in the catalogue; says what it was made of."""
    return settings.cache_dir / "debian-12.json"


def has_probe(settings: Settings) -> bool:
    stamp = settings.cache_dir / "probe" / "recipe"
    return stamp.exists() and stamp.read_text() == recipe() and (probe_dir(settings) / "vmlinuz").exists()


def build_probe(around: Surroundings, *, on_line: Callable[[str], None]) -> None:
    """Kernel and initramfs that print a known line; small, so the first start waits for them.

    Root builds in a directory of its own; the service user copies, since root must not write where it may.
    """
    built = around.settings.cache_dir / "probe"
    built.mkdir(exist_ok=True)
    _imagebuild(around, ["probe", "--out", str(built)], timeout=PROBE_SECONDS, on_line=on_line)
    target = probe_dir(around.settings)
    files = [str(built / name) for name in ("vmlinuz", "initrd", "manifest.json")]
    run(["mkdir", "-p", str(target)], timeout=COPY_SECONDS, identity=around.identity)
    run(["cp", *files, str(target)], timeout=COPY_SECONDS, identity=around.identity)
    (built / "recipe").write_text(recipe())


def ensure_image(around: Surroundings, run_django: Callable[[Sequence[Sequence[str]]], object]) -> None:
    """Fetch or build the image unless it is there, and enter it in the catalogue."""
    settings = around.settings
    record = image_record(settings)
    target = settings.cache_dir / "debian-12.qcow2"
    built = json.loads(record.read_text()) if record.exists() else {}
    if built.get("recipe") != recipe() or not target.exists():
        arguments = ["debian-12", "--out", str(target)]
        output = _imagebuild(around, arguments, timeout=BUILD_SECONDS, on_line=say)
        built = json.loads(output.strip().splitlines()[-1]) | {"recipe": recipe()}
    run_django([["ensure_image", "debian-12", "--file", str(target), "--checksum", str(built["sha256"])]])
    record.write_text(json.dumps(built) + "\n")


def _imagebuild(
    around: Surroundings, arguments: Sequence[str], *, timeout: float, on_line: Callable[[str], None]
) -> str:
    command = [around.python, "-m", "imagebuild", *arguments, "--cache", str(around.settings.cache_dir)]
    output = run(as_root(command), timeout=timeout, cwd=CODE_DIR, on_line=on_line).stdout
    if not is_root():
        owner = f"{os.getuid()}:{os.getgid()}"
        run(as_root(["chown", "-R", owner, str(around.settings.cache_dir)]), timeout=COPY_SECONDS)
    return output
