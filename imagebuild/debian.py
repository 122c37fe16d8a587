"""The image `debian-12`: the vendor's own where it can be reached, else the same built from packages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imagebuild import cache, debian_packages, vendor
from imagebuild.errors import BuildError
from imagebuild.progress import Progress

STEPS = 7
LOCK_SECONDS = 1800
NAME = "debian-12"
Choice = Literal["auto", "vendor", "packages"]


@dataclass(frozen=True, kw_only=True)
class Image:
    """A finished image in the cache and where it came from: `vendor` or `packages`."""

    path: Path
    source: str


def build(*, cache_dir: Path, progress: Progress, choice: Choice = "auto", refresh: bool = False) -> Image:
    """Fetch or build the image; one that is in the cache is taken as it is unless `refresh` is asked for."""
    with cache.locked(cache_dir, name=NAME, timeout=LOCK_SECONDS):
        image = None if refresh else _cached(cache_dir, choice=choice)
        image = image or _make(cache_dir, choice=choice, progress=progress)
    progress.finish(f"the image {NAME} is ready ({image.source})")
    return image


def _paths(cache_dir: Path) -> dict[str, Path]:
    return {
        "vendor": cache_dir / f"{NAME}-vendor.qcow2",
        "packages": cache_dir / f"{NAME}-packages-{debian_packages.recipe()}.qcow2",
    }


def _cached(cache_dir: Path, *, choice: Choice) -> Image | None:
    for source, path in _paths(cache_dir).items():
        if choice in ("auto", source) and path.exists():
            return Image(path=path, source=source)
    return None


def _make(cache_dir: Path, *, choice: Choice, progress: Progress) -> Image:
    paths = _paths(cache_dir)
    if choice != "packages":
        progress.step("asking the vendor for the official image")
        try:
            vendor.download(target=paths["vendor"], cache_dir=cache_dir, progress=progress)
            return Image(path=paths["vendor"], source="vendor")
        except vendor.UnreachableError as error:
            if choice == "vendor":
                raise BuildError(str(error)) from error
            progress.note(f"{error}; building from packages instead")
    debian_packages.build(target=paths["packages"], cache_dir=cache_dir, progress=progress)
    cache.prune(cache_dir, pattern=f"{NAME}-packages-*.qcow2", keep=paths["packages"])
    return Image(path=paths["packages"], source="packages")
