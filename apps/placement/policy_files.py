"""Policies that live as files in a directory (``CLOUDSITE_POLICY_DIR``), read when Cloudsite starts.

Each becomes a row like any other, with a version for every change. The file is its only author: the API refuses to
change such a row. A file that is gone leaves its policy to people, as VMs may use it.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from apps.errors import AppError, Refused
from apps.names import valid_name
from apps.placement.models import Policy, PolicyVersion
from apps.placement.policies import policy_checked, policy_write
from apps.placement.policy.shipped import shipped_texts
from apps.placement.policy.tree import MOST_BYTES

ENDINGS = (".yaml", ".yml")
MOST_FILES = 200


@dataclass(frozen=True, kw_only=True)
class FilesRead:
    """How many policies changed, and a sentence for each file that is wrong. Of a wrong file nothing is kept."""

    changed: int
    problems: tuple[str, ...]


def policy_files_read(directory: Path | None) -> FilesRead:
    """Make the rows equal to the files. What is wrong keeps no other file out, nor its own last good version."""
    changed, problems, names = 0, [], set()
    try:
        paths = _paths(directory) if directory else []
    except OSError as error:
        return FilesRead(changed=0, problems=(f"{directory} cannot be read: {error.strerror}.",))
    except Refused as error:
        return FilesRead(changed=0, problems=(error.detail,))
    for path in paths:
        names.add(path.name)
        try:
            _stands_alone(path)
            changed += _read(path)
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}.")
        except AppError as error:
            problems.append(f"{path}: {error.detail}")
    changed += Policy.objects.exclude(file="").exclude(file__in=names).update(file="")
    return FilesRead(changed=changed, problems=tuple(problems))


def _paths(directory: Path) -> list[Path]:
    found = sorted(path for path in directory.iterdir() if path.suffix in ENDINGS and not path.name.startswith("."))
    if len(found) > MOST_FILES:
        raise Refused("policy.too_many_files", f"{directory} has {len(found)} policies; {MOST_FILES} are read at most.")
    return found


def _read(path: Path) -> bool:
    """One file into its row. False: it is as it was."""
    text = _text(path)
    read = policy_checked(text)
    valid_name("name", read.name)
    if read.name != path.stem:
        raise Refused("policy.file_name", f"It names itself {read.name}; call the file {read.name}.yaml.")
    if read.name in shipped_texts():
        raise Refused("policy.shipped", f"{read.name} comes with Cloudsite. Give yours another name.")
    with transaction.atomic():
        known = Policy.objects.select_for_update().filter(name=read.name).first()
        if known is None:
            made = Policy.objects.create(name=read.name, description=read.description, text=text, file=path.name)
            PolicyVersion.objects.create(policy=made, number=1, text=text, author=_author(path))
            return True
        if not known.file and known.text != text:
            detail = f"There is already a policy {known.name} that people keep with another text. Delete or rename one."
            raise Refused("policy.name_taken", detail)
        if known.file == path.name and known.text == text:
            return False
        known.file = path.name
        if known.text == text:
            known.save(update_fields=["file"])
        else:
            policy_write(known, text, _author(path))
        return True


def _stands_alone(path: Path) -> None:
    if path.suffix == ENDINGS[1] and path.with_suffix(ENDINGS[0]).exists():
        raise Refused("policy.name_taken", f"{path.with_suffix(ENDINGS[0]).name} has this name, too.")


def _text(path: Path) -> str:
    """What is in a plain file of a size that a policy may have: no pipe or device is waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Refused("policy.no_file", "This is no plain file.")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Refused("policy.too_large", f"A policy has {MOST_BYTES} bytes at most.")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Refused("policy.encoding", f"This is not UTF-8 (byte {error.start}).") from error


def _author(path: Path) -> str:
    return f"file {path.name}"[:150]
