"""Pages of policies and decisions: what they show to whom, and what they refuse."""

import uuid
from typing import Any

import pytest
from django.test import Client

from apps.compute.models import Size
from apps.dashboard.policy_forms import copied
from apps.hosts.capacity import Demand
from apps.placement.engine import record
from apps.placement.models import Placement, Policy
from apps.placement.policies import policies_ensure, policy_create, policy_replace
from apps.placement.policy.language import policy_read
from apps.placement.policy.shipped import shipped
from apps.placement.services import placement_claim, wish_of

pytestmark = pytest.mark.django_db
TEXT = "name: quiet\ndescription: Few neighbours.\nscore:\n  - metric: vms\n    prefer: low\n"


@pytest.fixture
def as_admin(admin: Any) -> Client:
    client = Client()
    client.force_login(admin)
    return client


@pytest.fixture
def as_member(member: Any) -> Client:
    client = Client()
    client.force_login(member)
    return client


@pytest.fixture
def quiet(admin: Any) -> Policy:
    return policy_create(actor=admin, text=TEXT)


def page(client: Client, path: str, **headers: Any) -> str:
    response = client.get(path, **headers)
    assert response.status_code == 200, response.content[:300]
    return str(response.content.decode())


def claim(name: str, chosen: Policy | None = None, **demand: int) -> Placement:
    wish = wish_of(
        chosen=chosen, demand=Demand(**{"vcpus": 1, "memory_mib": 1024, "disk_gib": 5, **demand}), architecture="x86_64"
    )
    consumer = uuid.uuid4()
    placement_claim(consumer_id=consumer, consumer_name=name, owner_id=None, wish=wish)
    return Placement.objects.get(consumer_id=consumer)


def test_the_list_marks_the_default_and_counts_who_uses_each(
    as_admin: Client, as_member: Client, member: Any, other: Any, make_vm: Any, quiet: Policy
) -> None:
    policies_ensure()
    make_vm(member, "chooses", policy=quiet)
    make_vm(other, "chooses-too", policy=quiet)
    make_vm(other, "names-none")
    whole, own = page(as_admin, "/policies/"), page(as_member, "/policies/")
    assert "by admin" in whole and "Create policy" in whole and "Create policy" not in own
    assert whole.count("badge-good") == 1 and "2 machines" in whole and "1 machine<" in whole
    assert "1 machine<" in own and "2 machines" not in own


def test_no_policy_is_said_so(as_admin: Client) -> None:
    assert "No policies yet" in page(as_admin, "/policies/")


def test_one_policy_is_told_in_words_with_its_history(
    as_admin: Client, as_member: Client, admin: Any, quiet: Policy, host: Any, member: Any, other: Any, make_vm: Any
) -> None:
    policy_replace(actor=admin, policy_id=quiet.pk, text=TEXT + "  - metric: memory_free\n")
    make_vm(member, "mine", policy=quiet)
    make_vm(other, "theirs", policy=quiet)
    whole, own = page(as_admin, f"/policies/{quiet.pk}/"), page(as_member, f"/policies/{quiet.pk}/")
    assert "machines on the host" in own and "less is better" in own
    assert '<span class="diff-new">+   - metric: memory_free' in own
    assert "mine" in own and "theirs" not in own and "theirs" in whole
    assert "would go to" in whole and "would go to" not in own and "Edit" not in own


def test_a_dry_run_names_the_host_or_the_smallest_change(as_admin: Client, quiet: Policy, host: Any) -> None:
    part = page(as_admin, f"/policies/{quiet.pk}/?size=s-1vcpu-1gb", headers={"HX-Request": "true"})
    assert "would go to" in part and "the only host" not in part and "<html" not in part
    type(host).objects.update(memory_limit_mib=100)
    part = page(as_admin, f"/policies/{quiet.pk}/?size=s-1vcpu-1gb", headers={"HX-Request": "true"})
    assert "too little memory free" in part and "Smallest change" in part
    assert "There is no host yet" not in part


def test_typing_shows_each_problem_at_its_line_and_writes_nothing(as_admin: Client) -> None:
    wrong = "name: quiet\r\nfilters:\r\n  memroy: {ratio: 1}\r\nscore:\r\n  - metric: memory_fre\r\n"
    response = as_admin.post("/policies/new/", {"text": wrong}, headers={"HX-Request": "true"})
    text = response.content.decode()
    assert 'data-problem-line="3"' in text and "did you mean &#x27;memory&#x27;" in text
    assert 'data-problem-line="5"' in text and "score[0].metric" in text and "2 problems" in text
    assert as_admin.post("/policies/new/", {"text": wrong, "intent": "save"}).status_code == 422
    assert not Policy.objects.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "This field is required"),
        ("&a name: x", "Anchors"),
        ("name: balanced\nscore: [{metric: vms}]\n", "comes with Cloudsite"),
        ("name: quiet\nscore: [{metric: vms}]\n", "already a policy"),
        ("name: x\x00", "Null characters"),
        ("a" * 40000, "at most 32768 characters"),
        ("[" * 5000, "levels"),
    ],
)
def test_what_cannot_be_kept_is_said(as_admin: Client, quiet: Policy, text: str, said: str) -> None:
    response = as_admin.post("/policies/new/", {"text": text, "intent": "save"})
    assert response.status_code == 422
    assert said in response.content.decode()
    assert Policy.objects.count() == 1


def test_a_policy_is_created_copied_changed_and_deleted(as_admin: Client, host: Any) -> None:
    checked = as_admin.post("/policies/new/", {"text": TEXT}, headers={"HX-Request": "true"})
    assert "would go to" in checked.content.decode() and not Policy.objects.exists()
    assert as_admin.post("/policies/new/", {"text": TEXT, "intent": "save"}).status_code == 302
    made = Policy.objects.get()
    assert "name: quiet-copy" in page(as_admin, f"/policies/new/?from={made.pk}")
    assert as_admin.get(f"/policies/new/?from={uuid.uuid4()}").status_code == 404
    changed = TEXT + "  - metric: kvm\n"
    assert as_admin.post(f"/policies/{made.pk}/edit/", {"text": changed, "intent": "save"}).status_code == 302
    made.refresh_from_db()
    assert (made.version, made.text) == (2, changed)
    renamed = as_admin.post(f"/policies/{made.pk}/edit/", {"text": TEXT.replace("quiet", "loud"), "intent": "save"})
    assert renamed.status_code == 422
    assert "Nothing uses it" in page(as_admin, f"/policies/{made.pk}/delete/")
    assert as_admin.post(f"/policies/{made.pk}/delete/").status_code == 302
    assert not Policy.objects.exists()


def test_what_somebody_wrote_is_text_wherever_it_is_shown(as_admin: Client, host: Any) -> None:
    text = "name: evil\ndescription: <script>alert(1)</script>\nscore: [{metric: vms}]\n"
    as_admin.post("/policies/new/", {"text": text, "intent": "save"})
    made = Policy.objects.get()
    for path in ("", f"{made.pk}/", f"{made.pk}/edit/", f"{made.pk}/delete/", f"new/?from={made.pk}"):
        assert "<script>alert(1)" not in page(as_admin, f"/policies/{path}")
    wrong = as_admin.post("/policies/new/", {"text": "<script>alert(1)</script>: x"}, headers={"HX-Request": "true"})
    assert "<script>alert(1)" not in wrong.content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;: x" in wrong.content.decode()


def test_what_is_used_shipped_or_the_default_stays(as_admin: Client, admin: Any, make_vm: Any, quiet: Policy) -> None:
    policies_ensure()
    make_vm(admin, "web-1", policy=quiet)
    pack = Policy.objects.get(name="pack")
    for policy, said in ((quiet, "used by web-1"), (pack, "comes with Cloudsite")):
        assert said in page(as_admin, f"/policies/{policy.pk}/delete/")
        assert as_admin.post(f"/policies/{policy.pk}/delete/").status_code == 422
    assert Policy.objects.filter(pk__in=[quiet.pk, pack.pk]).count() == 2
    assert (
        as_admin.post(f"/policies/{pack.pk}/edit/", {"text": pack.text + "# \n", "intent": "save"}).status_code == 422
    )


def test_a_policy_in_a_file_is_changed_there_and_sizes_are_named(as_admin: Client, quiet: Policy, host: Any) -> None:
    Size.objects.create(name="s-quiet", vcpus=1, memory_mib=512, disk_gib=5, policy=quiet)
    assert "Size s-quiet" in page(as_admin, f"/policies/{quiet.pk}/")
    Policy.objects.filter(pk=quiet.pk).update(file="/etc/cloudsite/policies/quiet.yaml")
    told = page(as_admin, f"/policies/{quiet.pk}/")
    assert "Kept in /etc/cloudsite/policies/quiet.yaml" in told and f"/policies/{quiet.pk}/edit/" not in told
    changed = {"text": TEXT + "  - metric: kvm\n", "intent": "save"}
    refused = as_admin.post(f"/policies/{quiet.pk}/edit/", changed)
    assert refused.status_code == 422 and "Change it there" in refused.content.decode()
    assert "Take that away first" in page(as_admin, f"/policies/{quiet.pk}/delete/")


def test_a_copy_gets_another_name() -> None:
    assert copied('# top\nname: "pack"  # it\nscore: []\n') == "# top\nname: pack-copy  # it\nscore: []\n"
    assert len(copied("name: " + "a" * 63).removeprefix("name: ")) == 63
    assert copied("score: []") == "score: []"


def test_decisions_are_listed_and_filtered(as_admin: Client, make_host: Any, quiet: Policy) -> None:
    assert "No decisions yet" in page(as_admin, "/placements/")
    make_host("h1")
    make_host("h2", memory_mib=65536)
    claim("web-1")
    claim("db-1", quiet)
    both = page(as_admin, "/placements/")
    assert "web-1" in both and "db-1" in both
    assert "web-1" not in page(as_admin, "/placements/?q=DB")
    assert "web-1" not in page(as_admin, "/placements/?policy=quiet")
    assert "No decisions match" in page(as_admin, "/placements/?host=h1&policy=quiet&q=web")
    assert "db-1" not in page(as_admin, f"/placements/?q={Placement.objects.get(consumer_name='web-1').consumer_id}")


def test_decisions_come_in_pages(as_admin: Client) -> None:
    for number in range(3):
        values = {"host_id": uuid.uuid4(), "host_name": "h1", "policy": "spread"}
        Placement.objects.create(consumer_id=uuid.uuid4(), consumer_name=f"web-{number}", **values)
    first = page(as_admin, "/placements/?limit=2")
    assert "web-2" in first and "web-0" not in first and "Older" in first


def test_one_decision_says_why_in_words(as_admin: Client, make_host: Any, quiet: Policy) -> None:
    make_host("h1")
    make_host("h2", memory_mib=65536)
    make_host("h3", memory_mib=1500)
    make_host("h4", enabled=False)
    told = page(as_admin, f"/placements/{claim('web-1').pk}/")
    assert "web-1 went to h2" in told and "points more than h1; 2 of 4 hosts could take it" in told
    assert "short of memory (needs 1088" in told and "Closed for new VMs" in told
    assert '<span class="wrap-anywhere">Free memory: ' in told
    assert "Too little memory free" in told and "1 host<" in told


def test_a_decision_outlives_its_policy_host_and_reasons(as_admin: Client, host: Any) -> None:
    kept = claim("web-1")
    Placement.objects.filter(pk=kept.pk).update(host_id=uuid.uuid4(), host_name="gone", policy="gone-too")
    told = page(as_admin, f"/placements/{kept.pk}/")
    assert "removed since" in told and "gone-too" in told and "others took its room" in told
    old = Placement.objects.create(
        consumer_id=uuid.uuid4(), consumer_name="old", host_id=host.pk, host_name="h1", policy="spread"
    )
    assert "is not kept any more" in page(as_admin, f"/placements/{old.pk}/")
    assert shipped("balanced").name == "balanced"


def test_a_decision_whose_policy_is_refused_by_now(
    as_admin: Client, admin: Any, make_vm: Any, quiet: Policy, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, vm = claim("web-1", quiet), make_vm(admin, "web-1")
    Placement.objects.filter(pk=told.pk).update(consumer_id=vm.pk)
    pages = (f"/placements/{told.pk}/", f"/vms/{vm.pk}/")
    assert all("chosen" in page(as_admin, path) for path in pages)
    monkeypatch.setattr(record, "policy_read", lambda text: policy_read(text + "stricter: true\n"))
    for path in pages:
        assert "Its policy is refused by now" in page(as_admin, path) and "line 6" in page(as_admin, path)
    decision = page(as_admin, pages[0])
    assert "web-1 went to h1" in decision and "1 vCPU, 1088 MiB" in decision and "Few neighbours" in decision
    answer = as_admin.get(f"/api/v1{pages[0]}").json()
    assert (answer["host_name"], answer["policy"], answer["trace"]) == ("h1", "quiet", None)
    assert "refused by now" in answer["problem"]
