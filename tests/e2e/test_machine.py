"""Machine types, clones, rescue systems and CDs with real guests on real hosts."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imagebuild import disk
from imagebuild.probe import ProbeKernel
from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e import cd
from tests.e2e.clean import look
from tests.e2e.guests import await_answer, reserved, type_into, wait_booted

pytestmark = pytest.mark.lab
SECTOR = 200_000  # beyond the file system of the tiny disk


def enter(cloud: Cloud, name: str, file: Path, **fields: Any) -> str:
    """Put an image with these properties in the catalogue, once."""
    if not cloud.results(f"images/?name={name}"):
        size = file.stat().st_size if file.suffix == ".iso" else disk.virtual_size(file)
        arguments = {"cloud_init": False, **{key: fields.pop(key) for key in ("cloud_init",) if key in fields}}
        kind = file.suffix.removeprefix(".")
        code = (
            "from pathlib import Path; from apps.storage.models import Image;"
            "from apps.storage.services import image_register;"
            f"image = image_register(name={name!r}, file=Path({str(file)!r}), virtual_size_bytes={size},"
            f" image_format={kind!r}, **{arguments!r}); Image.objects.filter(pk=image.pk).update(**{fields!r})"
        )
        cloud.manage("shell", "-c", code)
    return name


def told(host: LabHost, vm: dict[str, Any], command: str) -> str:
    """What a command in the guest says, by way of its web server."""
    type_into(host, vm, f"{command} > /www/told")
    return await_answer(host, f"http://{reserved(vm)}/told", seconds=20, what="the guest's answer")


def boots_from_its_cd(cloud: Cloud, host: LabHost, vm: dict[str, Any]) -> str:
    """Put the CD in and boot; the drive that QEMU was told to begin with."""
    cloud.succeeded(cloud.verb(vm, "insert", {"image": "tiny-cd", "boot": True}))
    assert cloud.vm(vm["id"])["cdrom"] == "tiny-cd"
    log = host.run("cat", f"/var/log/libvirt/qemu/{host.virsh('domname', vm['id']).strip()}.log").stdout
    started = log[log.rindex("starting up") :]
    found = re.search(r'"id":"(ua-cs-\w+)","bootindex":1', started)
    assert found is not None, started[-3000:]
    return found[1]


def mark(device: str) -> str:
    return f"dd if={device} bs=512 skip={SECTOR} count=1 2>/dev/null | head -c 9"


def test_a_cd_is_booted_from_ejected_and_inserted_again(
    cloud: Cloud,
    enrolled: list[dict[str, Any]],
    lab_hosts: Sequence[LabHost],
    tiny_image: Path,
    probe_kernel: ProbeKernel,
    test_cache: Path,
) -> None:
    host, place = lab_hosts[0], enrolled[0]["name"]
    iso = enter(cloud, "tiny-cd", cd.build(probe_kernel, cache_dir=test_cache))
    installed = cloud.create("by-hand-1", image=iso, host=place)
    assert installed["cdrom"] == "tiny-cd"
    wait_booted(host, installed)
    cloud.succeeded(cloud.verb(installed, "eject"))
    assert cloud.vm(installed["id"])["cdrom"] is None
    for options in ((), ("--inactive",)):
        assert ".iso" not in host.virsh("dumpxml", installed["id"], *options)
    assert boots_from_its_cd(cloud, host, installed) == "ua-cs-sde"
    wait_booted(host, installed)
    cloud.delete(installed)
    seeded = enter(cloud, "tiny-seeded", tiny_image, cloud_init=True)
    old = cloud.create("old-2", image=seeded, devices="compatible", host=place)
    assert boots_from_its_cd(cloud, host, old) == "ua-cs-sdb"
    assert "seed-" in host.virsh("dumpxml", old["id"])


def test_a_clone_is_a_machine_of_its_own_and_can_be_rescued(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost], tiny_image: Path
) -> None:
    host = lab_hosts[0]
    image = enter(cloud, "tiny-seeded", tiny_image, cloud_init=True)
    origin = cloud.create("web-1", image=image, host=enrolled[0]["name"])
    assert wait_booted(host, origin).startswith("web-1 ")
    type_into(
        host, origin, f"echo -n was-there | dd of=/dev/vda bs=512 seek={SECTOR} conv=fsync; echo done > /www/told"
    )
    await_answer(host, f"http://{reserved(origin)}/told", seconds=20, what="the mark")
    refusal = cloud.call("POST", f"vms/{origin['id']}/clone/", expect=409, json={"name": "web-2"})
    assert refusal["code"] == "clone.needs_stop"
    cloud.succeeded(cloud.verb(origin, "power-off"))
    answer = cloud.call("POST", f"vms/{origin['id']}/clone/", expect=202, json={"name": "web-2"})
    cloud.succeeded(answer["operation"])
    clone = cloud.vm(answer["vm"]["id"])
    assert reserved(clone) != reserved(origin)
    assert wait_booted(host, clone).startswith("web-2 ")
    cloud.delete(origin)
    assert told(host, clone, mark("/dev/vda")) == "was-there"
    pool = next(name for name in host.virsh("pool-list", "--name").split() if name.startswith("cs-"))
    seed = host.run("grep", "-a", "instance-id", f"/var/lib/libvirt/images/{pool}/seed-{clone['id']}.iso").stdout
    assert clone["id"] in seed

    cloud.succeeded(cloud.verb(clone, "rescue"))
    assert cloud.vm(clone["id"])["rescued"] is True
    await_answer(host, f"http://{reserved(clone)}/", begins="web-2-rescue ", seconds=90, what="the rescue system")
    both = f"({mark('/dev/vdb')}; {mark('/dev/vda')} | tr -d '\\0')"  # one sign-in for each boot
    assert told(host, clone, both) == "was-there"
    cloud.succeeded(cloud.verb(clone, "reset"))
    cloud.succeeded(cloud.verb(clone, "unrescue"))
    assert cloud.vm(clone["id"])["rescued"] is False
    await_answer(host, f"http://{reserved(clone)}/", begins="web-2 ", seconds=90, what="its own disk")
    assert not [name for name in look(host)["file"] if name.startswith("rescue-")]
    assert told(host, clone, mark("/dev/vda")) == "was-there"
    cloud.succeeded(cloud.verb(clone, "rescue", {"image": "tiny"}))
    assert [name for name in look(host)["file"] if name.startswith("rescue-")]
    cloud.delete(clone)
    assert not [name for name in look(host)["file"] if not name.startswith(("img-", "probe-"))]
