"""Finds the kernel in an unpacked Debian package, and the modules a guest needs in loading order."""

import re
from pathlib import Path

from imagebuild.errors import BuildError

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def kernel_image(root: Path) -> Path:
    """The one kernel below `root`/boot."""
    found = sorted((root / "boot").glob("vmlinuz-*"))
    if len(found) != 1:
        raise BuildError(f"expected one kernel in {root}/boot, found {len(found)}")
    return found[0]


def module_files(root: Path, *, names: tuple[str, ...]) -> list[Path]:
    """The files of `names` and of all they depend on, each after what it needs.

    Dependencies are read from the modules themselves: `modules.dep` only exists after an installation. A
    module that is built into the kernel needs no file.
    """
    tree = root / "lib" / "modules" / kernel_image(root).name.removeprefix("vmlinuz-")
    files = {_canonical(path.stem): path for path in tree.rglob("*.ko")}
    builtin = {_canonical(Path(line).stem) for line in (tree / "modules.builtin").read_text().splitlines()}
    ordered: dict[str, Path] = {}
    for name in names:
        _collect(_canonical(name), files=files, builtin=builtin, ordered=ordered)
    return list(ordered.values())


def _collect(name: str, *, files: dict[str, Path], builtin: set[str], ordered: dict[str, Path]) -> None:
    if name in ordered or name in builtin:
        return
    if name not in files:
        raise BuildError(f"the kernel has no module {name}")
    match = _DEPENDS.search(files[name].read_bytes())
    for dependency in match[1].decode().split(",") if match else []:
        if dependency:
            _collect(_canonical(dependency), files=files, builtin=builtin, ordered=ordered)
    ordered[name] = files[name]


def _canonical(name: str) -> str:
    return name.replace("-", "_")
