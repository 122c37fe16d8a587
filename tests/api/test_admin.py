"""The admin: everything is in it, nothing that operations manage can be written there, actions use services."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.test import Client
from django.urls import reverse

from tests.api.answers import everything

# The tables that forms may write: sizes are a catalogue, people are made through the services.
WRITTEN = {"compute.Size", "accounts.User"}
NEVER_DELETED = {"accounts.User", "compute.VM", "storage.Volume", "hosts.Host", "operations.Operation", "events.Event"}
OURS = [model for model in apps.get_models() if model.__module__.startswith("apps.")]


@pytest.fixture
def client(admin: Any) -> Client:
    found = Client()
    found.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    return found


def url(model: Any, view: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=arguments)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_every_model_is_registered(model: Any) -> None:
    assert django_admin.site.is_registered(model)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_what_operations_manage_is_read_only(model: Any, rf: Any, admin: Any) -> None:
    request = rf.get("/admin/")
    request.user = admin
    found = django_admin.site.get_model_admin(model)
    writes = (found.has_add_permission(request), found.has_change_permission(request))
    assert writes == ((True, True) if model._meta.label in WRITTEN else (False, False))
    if model._meta.label in NEVER_DELETED or model._meta.label not in WRITTEN:
        assert not found.has_delete_permission(request)
        assert "delete_selected" not in found.get_actions(request)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_every_page_of_it_opens(client: Client, world: dict[str, Any], model: Any) -> None:
    before = everything()
    assert client.get(url(model, "changelist")).status_code == 200
    found = django_admin.site.get_model_admin(model)
    if found.search_fields:
        assert client.get(url(model, "changelist"), {"q": "web-1"}).status_code == 200
    one = model._default_manager.first()
    if one is not None:
        assert client.get(url(model, "change", one.pk)).status_code == 200
    if model._meta.label not in WRITTEN:
        assert client.get(url(model, "add")).status_code == 403
        if one is not None:
            assert client.post(url(model, "change", one.pk), {"name": "x"}).status_code == 403
            assert client.post(url(model, "delete", one.pk), {"post": "yes"}).status_code == 403
    assert everything() == before


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_nonsense_is_not_an_error_of_ours(client: Client, world: dict[str, Any], model: Any) -> None:
    before, changelist = everything(), url(model, "changelist")
    key = model._meta.pk.name
    for query in ({"q": "\x00"}, {"p": "x"}, {"o": "x"}, {f"{key}__exact": "x"}, {f"{key}__in": "\x00"}, {"nope": "1"}):
        assert client.get(changelist, query).status_code in (200, 302, 400), query
    for text in ("garbage", "\x00", "💩", "9" * 40):
        for view in ("change", "history"):
            assert client.get(url(model, view, text)).status_code in (302, 400), (view, text)
        for action in (*django_admin.site.get_model_admin(model).actions, "nope"):
            answer = client.post(changelist, {"action": action, "_selected_action": [text]})
            assert answer.status_code in (200, 302, 400, 403), (action, text)
    assert everything() == before


def test_no_page_shows_a_secret(client: Client, world: dict[str, Any], member: Any) -> None:
    from apps.accounts.models import Scope, TokenFamily
    from apps.accounts.services import token_issue
    from apps.compute.models import VM

    pair = token_issue(user=member, scope=Scope.FULL)
    VM.objects.update(user_data="#cloud-config\npassword: canary")
    family = TokenFamily.objects.get()
    for model, one in ((VM, VM.objects.first()), (TokenFamily, family), (type(member), member)):
        page = client.get(url(model, "change", one.pk)).content.decode()
        for secret in ("canary", pair.refresh, family.current.hex, family.credentials, member.password):
            assert secret not in page


@pytest.mark.parametrize("actor", ["anonymous", "member", "viewer"])
def test_nobody_else_gets_in(actor: str, member: Any, viewer: Any) -> None:
    found = Client()
    if actor != "anonymous":
        person = {"member": member, "viewer": viewer}[actor]
        found.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    for model in OURS:
        assert found.get(url(model, "changelist")).status_code == 302
    assert found.get("/admin/").status_code == 302


def act(client: Client, model: Any, action: str, *chosen: Any) -> Any:
    data = {"action": action, "_selected_action": [str(item.pk) for item in chosen]}
    return client.post(url(model, "changelist"), data, follow=True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("action", "kind"), [("start", "vm.start"), ("shutdown", "vm.shutdown"), ("power_off", "vm.power-off")]
)
def test_vm_actions_are_operations(
    client: Client, member: Any, make_vm: Any, host: Any, action: str, kind: str
) -> None:
    from apps.compute.models import VM
    from apps.events.models import Event
    from apps.operations.models import Operation

    busy, vm = make_vm(member, "busy", host=host, phase="deleting"), make_vm(member, "web-1", host=host)
    page = act(client, VM, action, busy, vm)
    assert page.status_code == 200
    assert list(Operation.objects.values_list("kind", "target_name")) == [(kind, "web-1")]
    assert Event.objects.get(kind=kind).actor_label == "admin"
    assert "busy: it is being deleted" in page.content.decode()


@pytest.mark.django_db(transaction=True)
def test_host_actions_are_services(client: Client, host: Any) -> None:
    """Outside of a test's transaction: a service that locks a row needs one of its own."""
    from apps.hosts.models import Host
    from apps.operations.models import Operation

    assert act(client, Host, "close_for_vms", host).status_code == 200
    host.refresh_from_db()
    assert host.enabled is False
    assert act(client, Host, "open_for_vms", host).status_code == 200
    host.refresh_from_db()
    assert host.enabled is True
    assert act(client, Host, "probe", host).status_code == 200
    assert Operation.objects.get().kind == "host.probe"


@pytest.mark.django_db(transaction=True)
def test_operation_actions_are_services(client: Client, member: Any, make_vm: Any, host: Any) -> None:
    from apps.operations.models import Operation
    from apps.operations.services import operation_create

    vm = make_vm(member, "web-1", host=host)
    operation = operation_create(kind="vm.start", target_type="vm", target=vm, actor=member)
    assert act(client, Operation, "cancel", operation).status_code == 200
    operation.refresh_from_db()
    assert operation.cancel_requested
    assert "Only a failed operation" in act(client, Operation, "retry", operation).content.decode()
    operation.status, operation.retryable = "failed", True
    operation.save()
    act(client, Operation, "retry", operation)
    operation.refresh_from_db()
    assert operation.status == "queued"
