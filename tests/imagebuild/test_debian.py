"""Which image is taken: the cached one, the vendor's, the built one; and never a doubtful one in silence."""

import os
from pathlib import Path

import pytest

from imagebuild import debian, debian_packages, vendor
from imagebuild.errors import BuildError
from imagebuild.progress import Progress


class Makers:
    """Stand-ins for the two ways to get an image; they record that they were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.vendor_fails: Exception | None = None

    def vendor(self, *, target: Path, cache_dir: Path, progress: Progress) -> None:
        self.asked.append("vendor")
        if self.vendor_fails:
            raise self.vendor_fails
        target.write_text("vendor")

    def packages(self, *, target: Path, cache_dir: Path, progress: Progress) -> None:
        self.asked.append("packages")
        target.write_text("packages")


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> Makers:
    made = Makers()
    monkeypatch.setattr(vendor, "download", made.vendor)
    monkeypatch.setattr(debian_packages, "build", made.packages)
    return made


def build(cache: Path, *, choice: debian.Choice = "auto", refresh: bool = False) -> debian.Image:
    return debian.build(cache_dir=cache, progress=Progress(total=debian.STEPS), choice=choice, refresh=refresh)


def test_the_vendors_image_comes_first(makers: Makers, tmp_path: Path) -> None:
    image = build(tmp_path)
    assert (image.source, image.path.read_text(), makers.asked) == ("vendor", "vendor", ["vendor"])


def test_without_the_vendor_it_is_built(makers: Makers, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    makers.vendor_fails = vendor.UnreachableError("cloud.debian.org cannot be reached: refused")
    assert build(tmp_path).source == "packages"
    assert "refused; building from packages instead" in capsys.readouterr().err


def test_a_wrong_checksum_is_not_papered_over(makers: Makers, tmp_path: Path) -> None:
    makers.vendor_fails = BuildError("has SHA-512")
    with pytest.raises(BuildError):
        build(tmp_path)
    assert makers.asked == ["vendor"]


def test_asked_for_the_vendor_nothing_else_will_do(makers: Makers, tmp_path: Path) -> None:
    makers.vendor_fails = vendor.UnreachableError("away")
    with pytest.raises(BuildError, match="away"):
        build(tmp_path, choice="vendor")


def test_asked_for_packages_the_vendor_is_not_asked(makers: Makers, tmp_path: Path) -> None:
    assert build(tmp_path, choice="packages").source == "packages"
    assert makers.asked == ["packages"]


def test_the_cache_is_enough_until_a_refresh(makers: Makers, tmp_path: Path) -> None:
    build(tmp_path)
    build(tmp_path)
    assert makers.asked == ["vendor"]
    build(tmp_path, refresh=True)
    assert makers.asked == ["vendor", "vendor"]


def test_a_changed_recipe_is_a_new_image(makers: Makers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(tmp_path, choice="packages")
    monkeypatch.setattr(debian_packages, "recipe", lambda: "other")
    assert build(tmp_path, choice="packages").path != first.path
    assert first.path.exists(), "another checkout may be using it"
    os.utime(first.path, (0, 0))
    monkeypatch.setattr(debian_packages, "recipe", lambda: "third")
    build(tmp_path, choice="packages")
    assert not first.path.exists() and len(list(tmp_path.glob("*.qcow2"))) == 2
