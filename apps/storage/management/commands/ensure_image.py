"""``manage.py ensure_image NAME --file F --checksum S``: an image of ours in the catalogue."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.errors import AppError
from apps.storage.services import file_sha256, image_register
from imagefile.errors import ImageRefused
from imagefile.inspector import inspect

# What we ship: title, whether cloud-init reads a seed, default user, least memory in MiB.
KNOWN = {
    "debian-12": ("Debian 12 (bookworm)", True, "debian", 256),
    "tiny": ("Tiny test image (kernel and busybox)", False, "", 64),
}

MOST_BYTES = 2**40


class Command(BaseCommand):
    help = "Enter an image that was fetched or built on this machine in the catalogue."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(KNOWN))
        parser.add_argument("--file", type=Path, required=True)
        parser.add_argument("--checksum", required=True, help="SHA-256 of the file.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        title, cloud_init, user, memory = KNOWN[options["name"]]
        try:
            size = inspect(path, declared="qcow2", most_virtual_bytes=MOST_BYTES).virtual_size_bytes
            if file_sha256(path) != options["checksum"]:
                raise CommandError(f"{path} has another SHA-256 than {options['checksum']}.")
            image_register(
                name=options["name"],
                file=path,
                virtual_size_bytes=size,
                title=title,
                source="made by this installation",
                cloud_init=cloud_init,
                default_user=user,
                min_memory_mib=memory,
            )
        except (OSError, ImageRefused, AppError) as error:
            raise CommandError(str(error)) from error
