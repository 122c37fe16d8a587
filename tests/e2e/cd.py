"""A CD that boots the probe's kernel by BIOS: what a person would install a system from."""

from pathlib import Path

import pycdlib

from imagebuild import apt, cache, disk, sources
from imagebuild.probe import QUICK, ProbeKernel
from imagebuild.process import run

MODULES = ("biosdisk", "iso9660", "linux", "normal")
# GRUB, on BIOS, does not get the last sectors of a CD right: what it reads there must not be all of its commands.
CONFIGURATION = f"linux /vmlinuz console=ttyS0,115200 quiet {QUICK} cloudsite.stay\ninitrd /initrd\nboot\n{'#' * 4096}"


def build(kernel: ProbeKernel, *, cache_dir: Path) -> Path:
    """The ISO, or the one that the cache has."""
    key = cache.recipe_key(kernel.vmlinuz.read_bytes(), kernel.initrd.read_bytes(), Path(__file__).read_bytes())
    target = cache_dir / f"tiny-cd-{key}.iso"
    with cache.locked(cache_dir, name="tiny-cd", timeout=600):
        if not target.exists():
            with cache.workspace(cache_dir, name="tiny-cd") as work:
                cache.publish(_write(work, kernel), target)
    return target


def _write(work: Path, kernel: ProbeKernel) -> Path:
    private = apt.Apt.create(work / "apt", sources=sources.debian_sources(codename=sources.os_codename()))
    apt.unpack(private.download(disk.GRUB_PACKAGES, target=work / "debs"), target=work / "grub")
    core, modules = work / "core.img", work / "grub" / "usr" / "lib" / "grub" / "i386-pc"
    mkimage = work / "grub" / "usr" / "bin" / "grub-mkimage"
    run([mkimage, "-O", "i386-pc-eltorito", "-d", modules, "-o", core, "-p", "/boot/grub", *MODULES], timeout=60)
    configuration = work / "grub.cfg"
    configuration.write_text(CONFIGURATION)
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", vol_ident="TINYCD")
    for folder, name in (("/BOOT", "boot"), ("/BOOT/GRUB", "grub")):
        iso.add_directory(folder, rr_name=name)
    for source, path, name in (
        (core, "/CORE.IMG;1", "core.img"),
        (kernel.vmlinuz, "/VMLINUZ.;1", "vmlinuz"),
        (kernel.initrd, "/INITRD.;1", "initrd"),
        (configuration, "/BOOT/GRUB/GRUB.CFG;1", "grub.cfg"),
    ):
        iso.add_file(str(source), path, rr_name=name)
    iso.add_eltorito("/CORE.IMG;1", bootcatfile="/BOOT.CAT;1", rr_bootcatname="boot.cat", boot_info_table=True)
    target = work / "cd.iso"
    iso.write(str(target))
    iso.close()
    return target
