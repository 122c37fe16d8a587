"""Pools and volumes of a fake host. Uploaded bytes are real files, so that a test can compare them."""

import time
from pathlib import Path
from typing import BinaryIO, Final

from hypervisor.errors import Conflict, NotFound, OutOfSpace, Rejected
from hypervisor.fake.store import Body, State
from hypervisor.specs import PoolInfo, PoolSpec, VolumeInfo, VolumeSpec
from hypervisor.storage_xml import volume_path

_PIECE: Final = 256 * 1024


def ensure_pool(state: State, spec: PoolSpec) -> PoolInfo:
    pool = state.get("pool", spec.name)
    if pool is None:
        pool = {"path": spec.path}
        state.put("pool", spec.name, pool)
    if pool["path"].rstrip("/") != spec.path.rstrip("/"):
        raise Conflict(f"pool {spec.name} is at {pool['path']}, not at {spec.path}")
    capacity = int((state.get("host", "facts") or {})["capacity_bytes"])
    return PoolInfo(
        name=spec.name, path=pool["path"], capacity_bytes=capacity, available_bytes=capacity - _spent(state)
    )


def _spent(state: State) -> int:
    return sum(int(volume["allocated"]) for volume in state.all("volume").values())


def pool_path(state: State, name: str) -> str:
    pool = state.get("pool", name)
    if pool is None:
        raise NotFound(f"no pool {name}")
    return str(pool["path"])


def volumes(state: State, pool: str) -> list[VolumeInfo]:
    path = pool_path(state, pool)
    every = state.all("volume").values()
    return [_info(path, volume) for volume in every if volume["pool"] == pool]


def volume(state: State, pool: str, name: str) -> VolumeInfo | None:
    if state.get("pool", pool) is None:
        return None
    body = state.get("volume", f"{pool}/{name}")
    return None if body is None else _info(pool_path(state, pool), body)


def _info(path: str, body: Body) -> VolumeInfo:
    return VolumeInfo(
        pool=body["pool"],
        name=body["name"],
        path=volume_path(path, body["name"]),
        capacity_bytes=body["capacity"],
        allocated_bytes=body["allocated"],
    )


def ensure_volume(state: State, spec: VolumeSpec) -> VolumeInfo:
    path, key = pool_path(state, spec.pool), f"{spec.pool}/{spec.name}"
    body = state.get("volume", key)
    if body is None:
        if spec.backing is not None and state.get("volume", f"{spec.pool}/{spec.backing.volume}") is None:
            raise Rejected(f"no backing volume {spec.backing.volume}")
        body = {"pool": spec.pool, "name": spec.name, "capacity": spec.capacity_bytes, "allocated": 0}
        body["backing"] = spec.backing.volume if spec.backing else None
    elif body["capacity"] >= spec.capacity_bytes:
        return _info(path, body)
    body |= {"capacity": spec.capacity_bytes}
    state.put("volume", key, body)
    return _info(path, body)


def remove_volume(state: State, files: Path, pool: str, name: str) -> None:
    state.remove("volume", f"{pool}/{name}")
    (files / pool / name).unlink(missing_ok=True)


def upload(
    state: State,
    files: Path,
    *,
    pool: str,
    name: str,
    source: BinaryIO,
    offset: int,
    length: int,
    seconds: float,
) -> int:
    body = state.get("volume", f"{pool}/{name}")
    if body is None:
        raise NotFound(f"no volume {name} in pool {pool}")
    target = files / pool / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    source.seek(offset)
    sent, deadline = 0, time.monotonic() + seconds
    with target.open("r+b") as file:
        file.seek(offset)
        while sent < length and time.monotonic() < deadline:
            piece = source.read(min(_PIECE, length - sent))
            if not piece:
                break
            file.write(piece)
            sent += len(piece)
    grown = max(int(body["allocated"]), offset + sent)
    capacity = int((state.get("host", "facts") or {})["capacity_bytes"])
    if _spent(state) - int(body["allocated"]) + grown > capacity:
        raise OutOfSpace("the fake host's disk is full")
    state.put("volume", f"{pool}/{name}", body | {"allocated": grown})
    return offset + sent


def download(
    state: State, files: Path, *, pool: str, name: str, target: BinaryIO, offset: int, seconds: float
) -> tuple[int, bool]:
    if state.get("volume", f"{pool}/{name}") is None:
        raise NotFound(f"no volume {name} in pool {pool}")
    path = files / pool / name
    target.seek(offset)
    deadline = time.monotonic() + seconds
    if not path.exists():
        return offset, True
    with path.open("rb") as file:
        file.seek(offset)
        while time.monotonic() < deadline:
            piece = file.read(_PIECE)
            if not piece:
                return file.tell(), True
            target.write(piece)
        return file.tell(), False


def dependents(state: State, pool: str, name: str) -> list[str]:
    pool_path(state, pool)
    every = state.all("volume").values()
    return [volume["name"] for volume in every if volume["pool"] == pool and volume.get("backing") == name]
