"""One installation as processes and one lab host over qemu+tls, for the length of a run."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django

from bench.byhand import ByHand
from imagebuild import probe, tiny
from imagebuild.progress import Progress
from lab.host import Host as LabHost
from lab.laboratory import Lab
from tests.cloud import Cloud, add_tls, enter_image, probed
from tests.servers import PrivatePostgres

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """``host`` is the lab host as the API shows it."""

    cloud: Cloud
    lab_host: LabHost
    host: dict[str, Any]
    by_hand: ByHand
    installation: str
    image_volume: str


@contextmanager
def running_cloud(say: Say) -> Iterator[Cloud]:
    """An installation with the image ``tiny``, all its processes, and a signed-in admin."""
    state_dir = Path(tempfile.mkdtemp(prefix="cs-bench-"))
    postgres = PrivatePostgres(options=())  # every commit reaches the disk, as in an installation
    cloud = Cloud(state_dir=state_dir, postgres=postgres)
    cloud.environment["CLOUDSITE_LOG_LEVEL"] = "INFO"
    try:
        say("setting up an installation")
        _prepare(cloud)
        cloud.revive()
        cloud.sign_in()
        yield cloud
    finally:
        cloud.stop()
        cloud.http.close()
        postgres.remove()
        shutil.rmtree(state_dir, ignore_errors=True)


def _prepare(cloud: Cloud) -> None:
    cache = Path(os.environ.get("CLOUDSITE_TEST_CACHE", f"{tempfile.gettempdir()}/cloudsite-test-cache-{os.getuid()}"))
    cache.mkdir(parents=True, exist_ok=True)
    kernel = probe.build(cache_dir=cache, progress=Progress(total=probe.STEPS))
    image = tiny.build(cache_dir=cache, progress=Progress(total=tiny.STEPS))
    cloud.flush_redis()
    for directory in ("run", "static"):
        (cloud.state_dir / directory).mkdir()
    probe_dir = cloud.state_dir / "images" / "probe"
    probe_dir.mkdir(parents=True)
    shutil.copy(kernel.vmlinuz, probe_dir / "vmlinuz")
    shutil.copy(kernel.initrd, probe_dir / "initrd")
    cloud.manage("migrate", "--verbosity", "0")
    for command in ("ensure_admin", "ensure_certificates", "ensure_installation"):
        cloud.manage(command)
    enter_image(cloud, "tiny", image)


def inside(cloud: Cloud) -> None:
    """Make this process one of the installation's, as a worker is: models can be imported afterwards."""
    os.environ.update(cloud.environment)
    os.environ["DJANGO_SETTINGS_MODULE"] = "cloudsite.settings"
    django.setup()


@contextmanager
def with_lab_host(cloud: Cloud, say: Say) -> Iterator[Surroundings]:
    """A libvirt host that is up, has the image, and is connected by hand too."""
    say("starting a libvirt host")
    with Lab(prefix=f"b{secrets.token_hex(3)}", hosts=1) as lab:
        host = probed(cloud, add_tls(cloud, lab.hosts[0]))
        say("sending the image and warming up")
        cloud.delete(cloud.create("warm-up"))
        ((installation,),) = cloud.sql("SELECT id FROM hosts_installation")
        ((image_id, image_format),) = cloud.sql("SELECT id, format FROM storage_image WHERE name = 'tiny'")
        by_hand = ByHand(host=lab.hosts[0].address, keys=cloud.state_dir / "keys", pool=f"cs-{installation}")
        yield Surroundings(
            cloud=cloud,
            lab_host=lab.hosts[0],
            host=host,
            by_hand=by_hand,
            installation=installation,
            image_volume=f"img-{image_id}.{image_format}",
        )
