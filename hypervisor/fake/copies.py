"""Copies of disks on a fake host: each look copies a half, so that the third says `done`."""

import shutil
from pathlib import Path
from typing import Final

from hypervisor.errors import Rejected
from hypervisor.fake import storage
from hypervisor.fake.store import State
from hypervisor.specs import CopyProgress, DiskSpec, Power, VolumeSpec

_LOOKS: Final = 2


def copy(state: State, files: Path, source: DiskSpec, target: VolumeSpec) -> CopyProgress:
    origin = state.get("volume", f"{source.pool}/{source.volume}")
    if origin is None:
        raise Rejected(f"no volume {source.volume} in pool {source.pool}")
    for domain in state.all("domain").values():
        if f"{source.pool}/{source.volume}" in domain.get("volumes", ()) and domain["power"] != Power.SHUTOFF:
            raise Rejected('Failed to get "write" lock: is another process using the image?')
    key = f"{target.pool}/{target.name}"
    under_way = state.get("copy", key)
    if under_way is None:
        storage.remove_volume(state, files, target.pool, target.name)
        storage.ensure_volume(state, target)
        under_way = {"looks": 0}
    looks, total = int(under_way["looks"]), int(origin["allocated"])
    if looks < _LOOKS:
        state.put("copy", key, {"looks": looks + 1})
        return CopyProgress(copied_bytes=total * looks // _LOOKS, total_bytes=total, done=False)
    state.remove("copy", key)
    state.put("volume", key, (state.get("volume", key) or {}) | {"allocated": total})
    content = files / source.pool / source.volume
    if content.exists():
        shutil.copyfile(content, files / target.pool / target.name)
    return CopyProgress(copied_bytes=total, total_bytes=total, done=True)


def stop(state: State, files: Path, pool: str, name: str) -> None:
    if state.get("copy", f"{pool}/{name}") is not None:
        state.remove("copy", f"{pool}/{name}")
        storage.remove_volume(state, files, pool, name)
