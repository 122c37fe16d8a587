"""Requests made up from the OpenAPI document: no 500, and every answer is a documented one.

Half of the generated requests break the document on purpose. Objects in paths are real ones most of the time, so
that not everything ends at a 404. What a request writes is rolled back. `make soak` asks far more of them.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

EXAMPLES = 20
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@functools.cache
def _application() -> Any:
    return get_wsgi_application()


def application(environ: Any, start_response: Any) -> Any:
    """The web process, made at the first request: the settings of a test count."""
    return _application()(environ, start_response)


def _schema() -> Any:
    loaded = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    loaded.app = application
    return loaded


schema = _schema()


@pytest.fixture
def known(admin: Any, make_vm: Any, make_key: Any, host: Any, make_host: Any) -> dict[str, str]:
    """An id for every parameter that stands in a path."""
    from apps.operations.services import operation_create
    from apps.placement.models import Placement

    vm = make_vm(admin, "web-1", host=host)
    failed = operation_create(kind="vm.start", target_type="vm", target=make_vm(admin, "web-2"), actor=admin)
    failed.status, failed.retryable = "failed", True
    failed.save()
    placement = Placement.objects.create(
        consumer_id=vm.pk, consumer_name=vm.name, host_id=host.pk, host_name=host.name, policy="spread"
    )
    found = {
        "vm_id": vm,
        "operation_id": failed,
        "host_id": make_host("ssh", transport="ssh", user="cloud", offered_key="ssh-ed25519 AAAA"),
        "placement_id": placement,
        "image_id": vm.image,
        "key_id": make_key(admin),
    }
    return {name: str(item.pk) for name, item in found.items()}


@pytest.fixture
def bearer(admin: Any) -> dict[str, str]:
    from apps.accounts.models import Scope
    from apps.accounts.services import token_issue

    return {"Authorization": f"Bearer {token_issue(user=admin, scope=Scope.FULL).access}"}


@pytest.fixture
def one_connection() -> Iterator[None]:
    """A real web process closes its connection after each request; here the test's transaction is in it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def undone(one_connection: None) -> Callable[[Callable[[], Any]], Any]:
    """Do something in the database, and undo it."""

    def run(work: Callable[[], Any]) -> Any:
        with transaction.atomic():
            result = work()
            transaction.set_rollback(True)
        return result

    return run


def examples(number: int, *, derandomize: bool = True) -> settings:
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=derandomize,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def answered_as_documented(
    case: Any, known: dict[str, str], bearer: dict[str, str], undone: Callable[[Callable[[], Any]], Any]
) -> None:
    """Send it, with real ids where ids are asked for. Raises where the answer is none of the document's."""
    for name in set(case.path_parameters or {}) & set(known):
        if len(str(case.path_parameters[name])) == 36:
            case.path_parameters[name] = known[name]
    response = undone(lambda: case.call(headers=bearer))
    case.validate_response(response, checks=CHECKS)


@schema.parametrize()
@examples(EXAMPLES)
def test_every_answer_is_a_documented_one(
    case: Any, known: dict[str, str], bearer: dict[str, str], undone: Callable[[Callable[[], Any]], Any]
) -> None:
    answered_as_documented(case, known, bearer, undone)
