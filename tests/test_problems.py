"""Every error of the API has one shape, the right status, and says nothing of our insides."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core import exceptions as django_errors
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions, serializers
from rest_framework.parsers import JSONParser
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from apps.envelope.serializers import StrictSerializer
from apps.errors import Conflict, Forbidden, NotFound, Refused, Unavailable, refused
from cloudsite import views

MEMBERS = {"type", "title", "status", "detail", "code", "errors"}
SECRET = "password=hunter2 host=10.0.0.1"


def answer_to(error: Exception, method: str = "post") -> Any:
    """What the API answers when a view raises this."""

    class Raising(APIView):
        authentication_classes = ()
        permission_classes = ()

        def post(self, request: Any) -> Response:
            raise error

        get = post

    response = Raising.as_view()(getattr(APIRequestFactory(), method)("/api/v1/x/"))
    return response.render()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("vm.not_found", "No."), 404, "vm.not_found"),
        (Forbidden("auth.scope", "No."), 403, "auth.scope"),
        (Conflict("vm.busy", "No."), 409, "vm.busy"),
        (Refused("vm.x", "No."), 422, "vm.x"),
        (Unavailable("host.x", "No."), 503, "host.x"),
        (exceptions.ParseError("No."), 400, "request.unparsable"),
        (exceptions.ValidationError({"a": ["No."]}), 422, "request.refused"),
        (exceptions.ValidationError({"a": [exceptions.ErrorDetail("No.", "required")]}), 400, "request.malformed"),
        (exceptions.PermissionDenied("No."), 403, "auth.forbidden"),
        (exceptions.NotFound("No."), 404, "request.not_found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "request.method"),
        (exceptions.NotAcceptable("No."), 406, "request.not_acceptable"),
        (exceptions.UnsupportedMediaType("x/y"), 415, "request.media_type"),
        (exceptions.Throttled(wait=3), 429, "request.throttled"),
        (Http404("No."), 404, "request.not_found"),
        (django_errors.PermissionDenied("No."), 403, "auth.forbidden"),
        (django_errors.RequestDataTooBig("No."), 413, "request.too_large"),
        (OperationalError(SECRET), 503, "unavailable.database"),
        (InterfaceError(SECRET), 503, "unavailable.database"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_the_table(error: Exception, status: int, code: str) -> None:
    answer = answer_to(error)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    content = json.loads(answer.content)
    assert set(content) == MEMBERS
    assert (content["status"], content["code"]) == (status, code)
    assert content["type"] == f"urn:cloudsite:problem:{code}"
    assert content["title"] and content["detail"]
    assert SECRET not in answer.content.decode()
    assert answer.has_header("Retry-After") == (status in (429, 503))


def test_a_conflict_names_the_operation_and_cannot_replace_a_member() -> None:
    error = Conflict("vm.busy", "Busy.", operation={"id": "7"}, status=200, type="x")
    content = json.loads(answer_to(error).content)
    assert content["operation"] == {"id": "7"}
    assert (content["status"], content["type"]) == (409, "urn:cloudsite:problem:vm.busy")


def test_field_errors_of_services_are_listed() -> None:
    content = json.loads(answer_to(refused("name", "name.invalid", "No.")).content)
    assert content["errors"] == [{"field": "name", "code": "name.invalid", "detail": "No."}]


def test_a_wrong_query_is_malformed() -> None:
    assert answer_to(exceptions.ValidationError({"status": ["No."]}), "get").status_code == 400


def test_what_nobody_expected_is_left_to_django() -> None:
    with pytest.raises(ZeroDivisionError):
        answer_to(ZeroDivisionError(SECRET))


class Inner(StrictSerializer):
    n = serializers.IntegerField(min_value=1)


class Outer(StrictSerializer):
    name = serializers.CharField(max_length=5)
    size = serializers.IntegerField(required=False, min_value=1, max_value=9, allow_null=True)
    ratio = serializers.FloatField(required=False)
    flag = serializers.BooleanField(required=False)
    kind = serializers.ChoiceField(choices=["a", "b"], required=False)
    keys = serializers.ListField(child=serializers.CharField(), required=False)
    inner = Inner(required=False)
    inners = Inner(many=True, required=False)
    id = serializers.CharField(read_only=True)


class Echo(APIView):
    authentication_classes = ()
    permission_classes = ()
    parser_classes = (JSONParser,)

    def post(self, request: Any) -> Response:
        serializer = Outer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(serializer.validated_data)


@pytest.mark.parametrize(
    ("body", "status", "field", "code"),
    [
        ({"name": "a", "size": "7"}, 400, "size", "wrong_type"),
        ({"name": "a", "size": True}, 400, "size", "wrong_type"),
        ({"name": "a", "size": 7.0}, 400, "size", "wrong_type"),
        ({"name": "a", "ratio": "1"}, 400, "ratio", "wrong_type"),
        ({"name": "a", "flag": "yes"}, 400, "flag", "wrong_type"),
        ({"name": "a", "flag": 1}, 400, "flag", "wrong_type"),
        ({"name": 5}, 400, "name", "wrong_type"),
        ({"name": {"a": 1}}, 400, "name", "wrong_type"),
        ({"name": None}, 400, "name", "null"),
        ({"name": "a", "kind": 1}, 400, "kind", "wrong_type"),
        ({"name": "a", "keys": "x"}, 400, "keys", "wrong_type"),
        ({"name": "a", "keys": ["x", 1]}, 400, "keys.1", "wrong_type"),
        ({"name": "a", "inner": []}, 400, "inner", "wrong_type"),
        ({"name": "a", "inner": {"n": "1"}}, 400, "inner.n", "wrong_type"),
        ({"name": "a", "inner": {"n": 1, "x": 1}}, 400, "inner.x", "unknown_field"),
        ({"name": "a", "inners": [{"n": 1}, {}]}, 400, "inners.1.n", "required"),
        ({"name": "a", "inners": [7]}, 400, "inners.0", "wrong_type"),
        ({"name": "a", "id": "1"}, 400, "id", "read_only_field"),
        ({"name": "a", "__class__": 1}, 400, "__class__", "unknown_field"),
        ([], 400, "", "wrong_type"),
        ("text", 400, "", "wrong_type"),
        (None, 400, "", "null"),
        ({"name": "abcdef"}, 422, "name", "max_length"),
        ({"name": "a", "size": 0}, 422, "size", "min_value"),
        ({"name": "a", "size": 10**400}, 422, "size", "max_value"),
        ({"name": "a", "kind": "c"}, 422, "kind", "invalid_choice"),
        ({"name": "a", "inner": {"n": 0}}, 422, "inner.n", "min_value"),
    ],
    ids=str,
)
def test_shape_is_400_and_value_is_422(body: Any, status: int, field: str, code: str) -> None:
    request = APIRequestFactory().post("/api/v1/x/", json.dumps(body), content_type="application/json")
    answer = Echo.as_view()(request).render()
    assert answer.status_code == status, answer.content
    errors = json.loads(answer.content)["errors"]
    assert (errors[0]["field"], errors[0]["code"]) == (field, code)


def test_a_good_body_passes_unchanged() -> None:
    body = {"name": "a", "size": 7, "ratio": 1.5, "flag": False, "kind": "a", "keys": ["x"], "inner": {"n": 1}}
    request = APIRequestFactory().post("/api/v1/x/", json.dumps(body), content_type="application/json")
    assert Echo.as_view()(request).data == body


@pytest.fixture
def outside(settings: Any) -> Client:
    return Client(HTTP_HOST="localhost", raise_request_exception=False)


@pytest.mark.django_db
def test_paths_that_do_not_exist(outside: Client) -> None:
    api, page = outside.get("/api/v1/nothing/"), outside.get("/nothing/")
    assert (api.status_code, page.status_code) == (404, 404)
    assert set(api.json()) == MEMBERS
    assert page["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("text", "kind", "status"),
    [
        ("{", "application/json", 400),
        ('{"a":1,"a":2}', "application/json", 400),
        ('{"username": NaN}', "application/json", 400),
        ('"\\ud800"', "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        ("a=1", "application/x-www-form-urlencoded", 415),
        ("x", "text/plain", 415),
    ],
)
@pytest.mark.django_db
def test_bodies_that_cannot_be_read(outside: Client, text: Any, kind: str, status: int) -> None:
    answer = outside.post("/api/v1/token/", text, content_type=kind)
    assert answer.status_code == status
    assert set(answer.json()) == MEMBERS


@pytest.mark.django_db
def test_an_accident_shows_nothing(outside: Client, monkeypatch: Any) -> None:
    def accident(**_kwargs: Any) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("apps.accounts.services.password_verify", accident)
    answer = outside.post("/api/v1/token/", {"username": "a", "password": "b"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert SECRET not in answer.content.decode()
    assert answer["X-Request-ID"]


def test_the_error_pages(rf: RequestFactory) -> None:
    pages: list[tuple[Callable[..., Any], int]] = [
        (views.bad_request, 400),
        (views.forbidden, 403),
        (views.csrf_failure, 403),
        (views.not_found, 404),
        (views.server_error, 500),
    ]
    for view, status in pages:
        for path, kind in (("/x/", "text/html"), ("/api/v1/x/", "application/problem+json")):
            answer = view(rf.get(path))
            assert (answer.status_code, answer["Content-Type"].split(";")[0]) == (status, kind)


def test_a_page_without_a_database_is_a_503(rf: RequestFactory) -> None:
    for path in ("/x/", "/api/v1/x/"):
        try:
            raise OperationalError(SECRET)
        except OperationalError:
            answer = views.server_error(rf.get(path))
        assert answer.status_code == 503
        assert SECRET not in answer.content.decode()
