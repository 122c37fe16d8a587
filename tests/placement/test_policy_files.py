"""Policies kept as files: read at the start, with every mistake named, and changed nowhere else."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.placement.models import Policy
from apps.placement.policy_files import FilesRead, policy_files_read
from tests.api.answers import problem_of

QUIET = "name: quiet\nscore:\n  - metric: memory_free\n"


@pytest.fixture
def directory(tmp_path: Path, db: None) -> Path:
    found = tmp_path / "policies"
    found.mkdir()
    (found / "quiet.yaml").write_text(QUIET)
    (found / ".hidden.yaml").write_text("name: [")
    (found / "README").write_text("what these are")
    return found


def versions() -> list[tuple[int, str]]:
    return list(Policy.objects.get(name="quiet").versions.order_by("number").values_list("number", "author"))


def test_a_file_is_a_policy_and_a_change_is_a_version(directory: Path) -> None:
    assert policy_files_read(directory) == FilesRead(changed=1, problems=())
    assert policy_files_read(directory) == FilesRead(changed=0, problems=())
    (directory / "quiet.yaml").write_text(QUIET + "description: few\n")
    assert policy_files_read(directory).changed == 1
    known = Policy.objects.get()
    assert (known.name, known.file, known.version, known.description) == ("quiet", "quiet.yaml", 2, "few")
    assert versions() == [(1, "file quiet.yaml"), (2, "file quiet.yaml")]


def test_only_the_file_changes_it_and_without_it_people_do(directory: Path, api_for: Any, admin: Any) -> None:
    policy_files_read(directory)
    client, known = api_for(admin), Policy.objects.get()
    path, body = f"/api/v1/policies/{known.pk}/", {"text": QUIET + "# mine\n"}
    assert client.get(path).json()["file"] == "quiet.yaml"
    assert problem_of(client.put(path, body, format="json"), 422, "policy.from_file")["detail"].endswith("there.")
    problem_of(client.delete(path), 409, "policy.from_file")
    (directory / "quiet.yaml").unlink()
    assert policy_files_read(directory) == FilesRead(changed=1, problems=())
    assert client.put(path, body, format="json").json()["version"] == 2
    (directory / "quiet.yaml").write_text(QUIET)
    (problem,) = policy_files_read(directory).problems
    assert problem.endswith("There is already a policy quiet that people keep with another text. Delete or rename one.")
    assert client.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.yaml", b"name: a\nfilters:\n  memroy: {ratio: 1}\nscore: [{metric: vms}]", "line 3, filters.memroy: "),
        ("a.yaml", b"name: b\nscore: [{metric: vms}]", "It names itself b; call the file b.yaml."),
        ("pack.yml", b"name: pack\nscore: [{metric: vms}]", "pack comes with Cloudsite. Give yours another name."),
        ("a.yaml", b"name: a\xff", "This is not UTF-8 (byte 7)."),
        ("a.yaml", b"#" * 32769, "A policy has 32768 bytes at most."),
        ("a.yaml", b"", "a.yaml: The policy is wrong: "),
        ("quiet.yml", QUIET.encode() + b"# again", ""),
    ],
)
def test_a_wrong_file_is_named_and_keeps_no_other_out(directory: Path, name: str, content: bytes, says: str) -> None:
    (directory / name).write_bytes(content)
    read = policy_files_read(directory)
    if says:
        (problem,) = read.problems
        assert problem.startswith(f"{directory / name}: ")
        assert says in problem
        assert list(Policy.objects.values_list("name", flat=True)) == ["quiet"]
    else:
        assert "quiet.yaml has this name, too" in read.problems[0]


def test_a_file_that_went_wrong_leaves_its_last_good_version(directory: Path) -> None:
    policy_files_read(directory)
    (directory / "quiet.yaml").write_text("name: quiet\n")
    (problem,) = policy_files_read(directory).problems
    assert "score is missing" in problem
    known = Policy.objects.get()
    assert (known.text, known.version, known.file) == (QUIET, 1, "quiet.yaml")


def test_what_is_no_plain_file_holds_nothing_up(directory: Path, tmp_path: Path) -> None:
    os.mkfifo(directory / "pipe.yaml")
    (directory / "folder.yaml").mkdir()
    (directory / "gone.yaml").symlink_to(tmp_path / "nowhere")
    problems = policy_files_read(directory).problems
    assert [problem.removeprefix(str(directory)) for problem in problems] == [
        "/folder.yaml cannot be read: Is a directory.",
        "/gone.yaml cannot be read: No such file or directory.",
        "/pipe.yaml: This is no plain file.",
    ]


def test_the_start_says_what_is_wrong(directory: Path, settings: Any) -> None:
    settings.POLICY_DIR = directory
    call_command("ensure_policies")
    assert Policy.objects.filter(name="quiet").exists()
    (directory / "a.yaml").write_text("name: a")
    with pytest.raises(CommandError, match=r"a\.yaml: The policy is wrong: line 1, score"):
        call_command("ensure_policies")
    settings.POLICY_DIR = directory / "nowhere"
    with pytest.raises(CommandError, match="nowhere cannot be read: No such file or directory"):
        call_command("ensure_policies")
    assert Policy.objects.get(name="quiet").file == "quiet.yaml"
    settings.POLICY_DIR = None
    call_command("ensure_policies")
    assert Policy.objects.get(name="quiet").file == ""


class TestSizes:
    """A size may name the policy of its VMs."""

    def test_is_used_where_none_was_chosen_and_keeps_the_policy(
        self, directory: Path, api_for: Any, admin: Any, host: Any, image: Any
    ) -> None:
        from apps.compute.models import VM, Size

        known = Policy.objects.create(name="own", text="{name: own, score: [{metric: vms}]}")
        Size.objects.filter(name="s-1vcpu-512mb").update(policy=known)
        client = api_for(admin)
        assert "own" in [size["policy"] for size in client.get("/api/v1/sizes/").json()["results"]]
        body = {"image": "tiny", "size": "s-1vcpu-512mb"}
        made = client.post("/api/v1/vms/", {**body, "name": "web-1"}, format="json").json()["vm"]
        other = client.post("/api/v1/vms/", {**body, "name": "web-2", "policy": "pack"}, format="json").json()["vm"]
        assert (made["policy"], other["policy"]) == ("own", "pack")
        VM.objects.all().delete()
        found = problem_of(client.delete(f"/api/v1/policies/{known.pk}/"), 409, "policy.in_use")
        assert found["used_by"] == ["s-1vcpu-512mb"]
