"""Pools, volumes and uploads."""

import time
from collections.abc import MutableMapping
from typing import BinaryIO, Final

import libvirt

from hypervisor import storage_xml
from hypervisor.errors import Conflict, NotFound
from hypervisor.specs import PoolInfo, PoolSpec, VolumeInfo, VolumeSpec

_PIECE: Final = 256 * 1024  # the most one libvirt stream packet carries
_MISSING: Final = (libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_STORAGE_VOL)


class Storage:
    """One connection's storage. `paths` remembers where pools keep their files: it saves a call per disk."""

    def __init__(self, connection: libvirt.virConnect, paths: MutableMapping[str, str]) -> None:
        self._connection = connection
        self._paths = paths

    def pool_path(self, name: str) -> str:
        if name not in self._paths:
            pool = self._connection.storagePoolLookupByName(name)
            self._paths[name] = storage_xml.read_pool_path(pool.XMLDesc(0))
        return self._paths[name]

    def path_of(self, pool: str, volume: str) -> str:
        return storage_xml.volume_path(self.pool_path(pool), volume)

    # --- pools
    def ensure_pool(self, spec: PoolSpec) -> PoolInfo:
        pool = self._find_pool(spec.name)
        if pool is None:
            pool = self._connection.storagePoolDefineXML(storage_xml.build_pool(spec), 0)
        path = storage_xml.read_pool_path(pool.XMLDesc(0))
        if path.rstrip("/") != spec.path.rstrip("/"):
            raise Conflict(f"pool {spec.name} is at {path}, not at {spec.path}")
        self._paths[spec.name] = path
        if not pool.autostart():
            pool.setAutostart(1)
        if not pool.isActive():
            pool.build(0)
            pool.create(0)
        _state, capacity, _allocation, available = pool.info()
        return PoolInfo(name=spec.name, path=path, capacity_bytes=capacity, available_bytes=available)

    def _find_pool(self, name: str) -> libvirt.virStoragePool | None:
        try:
            return self._connection.storagePoolLookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL:
                return None
            raise

    def available_bytes(self, pool: str) -> int:
        """What the pool has left, after a look at the directory itself."""
        found = self._connection.storagePoolLookupByName(pool)
        found.refresh(0)
        return int(found.info()[3])

    # --- volumes
    def volumes(self, pool_name: str) -> list[VolumeInfo]:
        pool = self._connection.storagePoolLookupByName(pool_name)
        pool.refresh(0)
        return [self._info(pool_name, volume) for volume in pool.listAllVolumes(0)]

    def volume(self, pool_name: str, name: str) -> VolumeInfo | None:
        """libvirt answers from memory; a volume whose file somebody removed is found missing by reading its
        size.
        """
        try:
            return self._info(pool_name, self._find_volume(pool_name, name))
        except libvirt.libvirtError as error:
            if error.get_error_code() in _MISSING or _is_file_gone(error):
                return None
            raise

    def require_volume(self, pool_name: str, name: str) -> None:
        """`NotFound` unless it is there."""
        if self.volume(pool_name, name) is None:
            raise NotFound(f"no volume {name} in pool {pool_name}")

    def _find_volume(self, pool_name: str, name: str) -> libvirt.virStorageVol:
        return self._connection.storagePoolLookupByName(pool_name).storageVolLookupByName(name)

    def _info(self, pool_name: str, volume: libvirt.virStorageVol) -> VolumeInfo:
        _type, capacity, allocation = volume.info()
        return VolumeInfo(
            pool=pool_name,
            name=volume.name(),
            path=self.path_of(pool_name, volume.name()),
            capacity_bytes=capacity,
            allocated_bytes=allocation,
        )

    def ensure_volume(self, spec: VolumeSpec) -> VolumeInfo:
        found = self.volume(spec.pool, spec.name)
        if found is None:
            return self._create_volume(spec)
        if found.capacity_bytes < spec.capacity_bytes:
            volume = self._find_volume(spec.pool, spec.name)
            volume.resize(spec.capacity_bytes, 0)
            return self._info(spec.pool, volume)
        return found

    def _create_volume(self, spec: VolumeSpec) -> VolumeInfo:
        """A directory that changed behind libvirt's back is read again before the second and last attempt."""
        pool = self._connection.storagePoolLookupByName(spec.pool)
        xml = storage_xml.build_volume(spec, pool_path=self.pool_path(spec.pool))
        try:
            volume = pool.createXML(xml, 0)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_STORAGE_VOL_EXIST, *_MISSING):
                raise
            pool.refresh(0)
            found = self.volume(spec.pool, spec.name)
            if found is not None:
                return found
            volume = pool.createXML(xml, 0)
        return self._info(spec.pool, volume)

    def remove_volume(self, pool_name: str, name: str) -> None:
        try:
            self._find_volume(pool_name, name).delete(0)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _MISSING and not _is_file_gone(error):
                raise

    def upload(self, pool_name: str, name: str, *, source: BinaryIO, offset: int, length: int, seconds: float) -> int:
        """`finish` is the host's word that everything sent is in the file; without it nothing counts."""
        volume = self._find_volume(pool_name, name)
        stream = self._connection.newStream(0)
        volume.upload(stream, offset, length, 0)
        source.seek(offset)
        sent, deadline = 0, time.monotonic() + seconds
        try:
            while sent < length and time.monotonic() < deadline:
                piece = source.read(min(_PIECE, length - sent))
                if not piece:
                    break
                _send_all(stream, piece)
                sent += len(piece)
        except BaseException:
            stream.abort()
            raise
        stream.finish()
        return offset + sent

    def download(self, pool_name: str, name: str, *, target: BinaryIO, offset: int, seconds: float) -> tuple[int, bool]:
        """What was received before the time was up is kept; the stream is then broken off, which only reads."""
        volume = self._find_volume(pool_name, name)
        stream = self._connection.newStream(0)
        volume.download(stream, offset, 0, 0)
        target.seek(offset)
        received, deadline = 0, time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                piece = stream.recv(_PIECE)
                if not isinstance(piece, bytes) or not piece:
                    stream.finish()
                    return offset + received, True
                target.write(piece)
                received += len(piece)
        except BaseException:
            stream.abort()
            raise
        stream.abort()
        return offset + received, False

    def dependents(self, pool_name: str, name: str) -> list[str]:
        """libvirt reads each file's header when it looks at the directory."""
        pool = self._connection.storagePoolLookupByName(pool_name)
        pool.refresh(0)
        path = self.path_of(pool_name, name)
        return [
            volume.name()
            for volume in pool.listAllVolumes(0)
            if storage_xml.read_backing_path(volume.XMLDesc(0)) == path
        ]


def _send_all(stream: libvirt.virStream, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[stream.send(bytes(view)) :]


def _is_file_gone(error: libvirt.libvirtError) -> bool:
    """libvirt reports ENOENT of a volume's file as a system error with the system's text."""
    return error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and "No such file" in str(error)
