"""Taking a volume's file back, and who reads through it, as every implementation has it."""

import io

from hypervisor.specs import Backing, VolumeSpec
from tests.hypervisor.bed import Bed


def test_what_was_sent_comes_back(bed: Bed) -> None:
    bed.needs("files")
    pool, content = bed.pool.name, bytes(range(256)) * 4096
    bed.hypervisor.ensure_pool(bed.pool)
    bed.hypervisor.ensure_volume(VolumeSpec(pool=pool, name="img-1.iso", capacity_bytes=len(content), format="iso"))
    bed.hypervisor.upload(pool=pool, name="img-1.iso", source=io.BytesIO(content), offset=0, length=len(content))
    target = io.BytesIO(b"\0" * 1000)
    assert bed.hypervisor.download(pool=pool, name="img-1.iso", target=target, offset=0) == (len(content), True)
    assert target.getvalue() == content
    target = io.BytesIO(content[:5000])
    assert bed.hypervisor.download(pool=pool, name="img-1.iso", target=target, offset=5000) == (len(content), True)
    assert target.getvalue() == content


def test_who_reads_through_a_volume(bed: Bed) -> None:
    bed.needs("files")
    pool = bed.pool.name
    bed.hypervisor.ensure_pool(bed.pool)
    bed.hypervisor.ensure_volume(VolumeSpec(pool=pool, name="img-1.qcow2", capacity_bytes=2**20, format="qcow2"))
    assert bed.hypervisor.dependents(pool, "img-1.qcow2") == []
    backing = Backing(volume="img-1.qcow2", format="qcow2")
    bed.hypervisor.ensure_volume(
        VolumeSpec(pool=pool, name="vol-1.qcow2", capacity_bytes=2**20, format="qcow2", backing=backing)
    )
    assert bed.hypervisor.dependents(pool, "img-1.qcow2") == ["vol-1.qcow2"]
    assert bed.hypervisor.dependents(pool, "vol-1.qcow2") == []
