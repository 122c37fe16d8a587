"""Secrets, copies of the code, records of what was changed, and what a removal would take."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bootstrap import accounts, codedir, machine, uninstall
from bootstrap.commands import CommandFailed, run
from bootstrap.settings import SECRET_NAMES, Settings, installation_of, load_secrets, remember_installation


@pytest.fixture(autouse=True)
def no_secrets_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRET_NAMES:
        monkeypatch.delenv(name, raising=False)


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    first = load_secrets(settings)
    assert set(first) == set(SECRET_NAMES)
    assert len({*first.values()}) == 2 and all(len(value) >= 32 for value in first.values())
    assert stat.S_IMODE(settings.secrets_file.stat().st_mode) == 0o600
    assert load_secrets(settings) == first


def test_a_missing_secret_is_added_and_the_others_stay(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    settings.secrets_file.write_text("# by hand\nCLOUDSITE_SECRET_KEY=" + "k" * 40 + "\n")
    values = load_secrets(settings)
    assert values["CLOUDSITE_SECRET_KEY"] == "k" * 40
    assert load_secrets(settings) == values


def test_a_secret_from_outside_wins_and_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSITE_JWT_KEY", "o" * 40)
    settings = Settings(state_dir=tmp_path)
    assert load_secrets(settings)["CLOUDSITE_JWT_KEY"] == "o" * 40
    assert "o" * 40 not in settings.secrets_file.read_text()


def tree(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_the_copy_follows_the_checkout(tmp_path: Path) -> None:
    source, target = tmp_path / "checkout", tmp_path / "copy"
    (source / "apps").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("not for the service")
    (source / "manage.py").write_text("one")
    (source / "apps" / "a.py").write_text("a")
    (source / "apps" / "a.py").chmod(0o600)
    codedir.synchronise(source, target)
    assert tree(target) == {"manage.py": "one", "apps/a.py": "a"}
    assert (target / "apps" / "a.py").stat().st_mode & 0o004, "the service user could not read it"
    untouched = (target / "manage.py").stat().st_ino
    (source / "apps" / "a.py").unlink()
    (source / "apps" / "b.py").write_text("b")
    codedir.synchronise(source, target)
    assert tree(target) == {"manage.py": "one", "apps/b.py": "b"}
    assert (target / "manage.py").stat().st_ino == untouched


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as another user")
def test_a_checkout_that_the_service_user_cannot_read_is_copied(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = accounts.service_identity()
    checkout = short_dir / "home" / "checkout"
    (checkout / "apps").mkdir(parents=True)
    (checkout / "manage.py").write_text("print('here')")
    monkeypatch.setattr(codedir, "CODE_DIR", checkout)
    assert codedir.ensure(short_dir / "app", identity) == checkout
    (short_dir / "home").chmod(0o700)
    copy = codedir.ensure(short_dir / "app", identity)
    assert copy == short_dir / "app"
    run(["cat", str(copy / "manage.py")], timeout=10, identity=identity)
    with pytest.raises(CommandFailed):
        run(["cat", str(checkout / "manage.py")], timeout=10, identity=identity)


def test_the_record_of_changes_reads_back(tmp_path: Path) -> None:
    record = tmp_path / "changes.json"
    changes = machine.Changes(packages=("redis-tools",), memberships=(("ada", "libvirt"),), installations=("/srv/cs",))
    machine.write(changes, record)
    assert machine.read(record) == changes
    assert machine.read(tmp_path / "none") == machine.Changes()


def state_dir(path: Path) -> Path:
    path.mkdir()
    (path / "settings.env").write_text("")
    (path / "supervisor").mkdir()
    return path


def test_packages_and_users_stay_while_another_installation_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bootstrap.packages.installed", lambda: {"redis-tools"})
    monkeypatch.setattr(uninstall, "removable_packages", lambda names, guests: (list(names), []))
    ours, other = state_dir(tmp_path / "ours"), state_dir(tmp_path / "other")
    record = tmp_path / "changes.json"
    machine.write(machine.Changes(packages=("redis-tools",), installations=(str(ours), str(other))), record)
    plan = uninstall.make_plan(Settings(state_dir=ours), record)
    assert (plan.state_dir, plan.packages) == (ours, ())
    assert str(other) in plan.stays[0]
    other.rename(tmp_path / "gone")
    assert uninstall.make_plan(Settings(state_dir=ours), record).packages == ("redis-tools",)


def test_what_every_installation_of_a_directory_made_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start with another database is another installation; the first one's network stayed for ever."""
    ours = Settings(state_dir=state_dir(tmp_path / "ours"))
    for digits in ("aaaaaaaa", "bbbbbbbb", "bbbbbbbb", "aaaaaaaa"):
        remember_installation(ours, digits)
        assert installation_of(ours) == digits
    named = "cs-aaaaaaaa\ncs-bbbbbbbb-lan\ncs-cccccccc\ndefault\n"
    monkeypatch.setattr("bootstrap.libvirtd.answers", lambda: True)
    monkeypatch.setattr(uninstall, "_virsh", lambda *words: "" if words[0] == "list" else named)
    plan = uninstall.make_plan(ours, tmp_path / "none")
    assert plan.networks == plan.pools == ("cs-aaaaaaaa", "cs-bbbbbbbb-lan")


def test_a_directory_that_is_not_a_state_directory_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    plan = uninstall.make_plan(Settings(state_dir=tmp_path / "photos"), tmp_path / "none")
    assert plan.state_dir is None
    assert plan.sentences() == []


def test_packages_that_something_else_needs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstall, "_any_guests", lambda: False)
    assert uninstall.removable_packages([], guests=[]) == ([], [])
    kept, sentences = uninstall.removable_packages(["libc6"], guests=[])
    assert kept == [] and "need them" in sentences[-1]


def test_packages_stay_while_virtual_machines_run_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstall, "_any_guests", lambda: True)
    kept, sentences = uninstall.removable_packages(["libc6"], guests=[])
    assert kept == [] and "virtual machines" in sentences[0]


def test_a_removal_needs_a_clear_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDSITE_YES", raising=False)
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115 - stands for no terminal
    assert uninstall.agreed(False) is False
    assert uninstall.agreed(True) is True


def test_memberships_end_before_packages_take_their_groups_away(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(uninstall, "run", lambda command, **_more: done.append(" ".join(command)))
    monkeypatch.setattr(uninstall, "_daemons", lambda _plan: None)
    monkeypatch.setattr(uninstall, "_forget", lambda _plan, _settings: None)
    plan = uninstall.Plan(state_dir=None, packages=("libvirt-daemon-system",), memberships=(("ada", "libvirt"),))
    uninstall.take_back(plan, Settings(state_dir=Path("none")))
    first, second = done
    assert "gpasswd --delete ada libvirt" in first
    assert "purge libvirt-daemon-system" in second
