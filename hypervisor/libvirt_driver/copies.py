"""Copying a disk on its host: a QEMU that never runs holds the source and mirrors it into the copy.

libvirt's other way (virStorageVolCreateXMLFrom) is one call that lasts as long as the copy, cannot be stopped, and
leaves a file of which nobody can say whether it is whole. A mirror is begun, looked at, and stopped.
"""

import contextlib
from typing import Final

import libvirt

from hypervisor import copy_xml, domain_xml
from hypervisor.errors import OutOfSpace, Rejected
from hypervisor.libvirt_driver.storage import Storage
from hypervisor.specs import CopyProgress, DiskSpec, VolumeSpec

_BEGUN: Final = "copying"


class Copies:
    def __init__(self, connection: libvirt.virConnect, storage: Storage, installation: str) -> None:
        self._connection = connection
        self._storage = storage
        self._installation = installation

    def copy(self, source: DiskSpec, target: VolumeSpec) -> CopyProgress:
        """Begin, or look at what was begun; the end is told once and lets go of everything."""
        holder = self._find(target.pool, target.name)
        if holder is None:
            holder = self._begin(source, target)
        ready = copy_xml.read_mirror(holder.XMLDesc(0))
        if ready is None:
            return self._without_mirror(holder, target)
        numbers = holder.blockJobInfo(copy_xml.TARGET, 0) or {}
        if ready:
            holder.blockJobAbort(copy_xml.TARGET, 0)
            holder.destroy()
        total = int(numbers.get("end", 0))
        return CopyProgress(copied_bytes=min(int(numbers.get("cur", 0)), total), total_bytes=total, done=ready)

    def stop(self, pool: str, name: str) -> None:
        """Let go of the source and take away what was written; nothing under way is fine."""
        holder = self._find(pool, name)
        if holder is not None:
            with contextlib.suppress(libvirt.libvirtError):
                holder.destroy()
            self._storage.remove_volume(pool, name)

    def _find(self, pool: str, name: str) -> libvirt.virDomain | None:
        identity = copy_xml.holder_uuid(self._installation, pool, name)
        try:
            return self._connection.lookupByUUID(identity.bytes)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def _begin(self, source: DiskSpec, target: VolumeSpec) -> libvirt.virDomain:
        """A file of that name is what an earlier attempt left: of unknown worth, so it goes."""
        self._check_room(source)
        self._storage.remove_volume(target.pool, target.name)
        self._storage.ensure_volume(target)
        architecture = str(self._connection.getInfo()[0])
        spec = copy_xml.holder(self._installation, source, target, architecture)
        flags = libvirt.VIR_DOMAIN_START_PAUSED
        holder = self._connection.createXML(domain_xml.build(spec, self._storage.path_of), flags)
        try:
            self._mirror(holder, source, target)
        except BaseException:
            self.stop(target.pool, target.name)
            raise
        return holder

    def _mirror(self, holder: libvirt.virDomain, source: DiskSpec, target: VolumeSpec) -> None:
        flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT
        if source.backing is not None:
            flags |= libvirt.VIR_DOMAIN_BLOCK_COPY_SHALLOW
        holder.blockCopy(copy_xml.TARGET, copy_xml.build_target(target, self._storage.path_of), {}, flags)
        holder.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, _BEGUN, None, None, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def _check_room(self, source: DiskSpec) -> None:
        found = self._storage.volume(source.pool, source.volume)
        if found is None:
            raise Rejected(f"no volume {source.volume} in pool {source.pool}")
        free = self._storage.available_bytes(source.pool)
        if free < found.allocated_bytes:
            raise OutOfSpace(f"the copy may take {found.allocated_bytes >> 20} MiB, the pool has {free >> 20} MiB")

    def _without_mirror(self, holder: libvirt.virDomain, target: VolumeSpec) -> CopyProgress:
        """Whoever began it died before the mirror was there; or QEMU gave up, which is told."""
        begun = self._was_begun(holder)
        self.stop(target.pool, target.name)
        if begun:
            raise Rejected("QEMU gave up copying the disk; the host's log says why")
        return CopyProgress(copied_bytes=0, total_bytes=0, done=False)

    def _was_begun(self, holder: libvirt.virDomain) -> bool:
        with contextlib.suppress(libvirt.libvirtError):
            return holder.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None, 0) == _BEGUN
        return False
