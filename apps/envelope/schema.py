"""The OpenAPI document: a summary for everything, and the problems that every operation can answer with."""

import inspect
from typing import Any

from drf_spectacular.openapi import AutoSchema

from apps.envelope.serializers import StrictSerializer

PROBLEMS = {
    400: "Malformed: not JSON, a wrong type, a missing or unknown field.",
    401: "Not signed in, or the token is not valid.",
    403: "Signed in, and not allowed.",
    404: "There is no such thing, or it is somebody else's.",
    409: "In the wrong state, or busy; names the operation in the way.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "Understood and refused, with the field and the reason.",
    429: "Too many attempts.",
    503: "The database is away. Nothing was changed.",
}
FIELD_ERROR = {
    "type": "object",
    "required": ["field", "code", "detail"],
    "properties": {name: {"type": "string"} for name in ("field", "code", "detail")},
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `code` is stable; `operation` is the id of the operation in the way.",
    "required": ["type", "title", "status", "detail", "code", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {"type": "array", "items": FIELD_ERROR},
        "operation": {"type": "string", "format": "uuid"},
    },
}
PLAN = {
    "type": "object",
    "description": "What a change would do.",
    "required": ["host", "changes", "restart_needed", "reversible"],
    "properties": {
        "host": {"type": ["string", "null"]},
        "changes": {"type": "array", "items": {"type": "string"}},
        "restart_needed": {"type": "boolean"},
        "reversible": {"type": "boolean"},
    },
}
DRY_RUN = {
    "type": "object",
    "description": "The answer to `dry_run=true`.",
    "required": ["plan"],
    "properties": {"plan": {"$ref": "#/components/schemas/Plan"}},
    "additionalProperties": False,
}
JSON = "application/json"


class Schema(AutoSchema):
    """drf-spectacular's, with summaries from docstrings and verbs named as verbs."""

    def get_summary(self) -> str:
        return self.get_description().split("\n", 1)[0].split(". ", 1)[0].rstrip(".")

    def get_operation_id(self) -> str:
        """``vms_start`` instead of ``vms_start_create`` for a verb, which is a POST below one object."""
        named: str = super().get_operation_id()
        below_object = "}/" in self.path and not self.path.endswith("}/")
        return named.removesuffix("_create") if self.method == "POST" and below_object else named

    def get_operation(self, *args: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args)
        if operation is not None and self.view.get_throttles():
            operation["responses"]["429"] = {}
        return operation

    def _get_request_body(self, direction: str = "request") -> Any:
        """Also of a DELETE that takes something, which drf-spectacular leaves out."""
        method, self.method = self.method, "POST" if self.method == "DELETE" else self.method
        try:
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = method

    def _get_filter_parameters(self) -> list[dict[str, Any]]:
        names = getattr(self.view, "ordering_fields", ())
        found: list[dict[str, Any]] = super()._get_filter_parameters()  # type: ignore[no-untyped-call]
        if self._is_list_view() and names:
            values = [f"{sign}{name}" for name in names for sign in ("", "-")]
            found.append({"name": "ordering", "in": "query", "schema": {"type": "string", "enum": values}})
        return found


def document_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's hook: add to each operation what the envelope makes of it."""
    components = result["components"]
    components["schemas"] |= {"Problem": PROBLEM, "Plan": PLAN, "DryRun": DRY_RUN}
    components["responses"] = {f"Problem{status}": _response(text) for status, text in PROBLEMS.items()}
    for name, schema in components["schemas"].items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema["additionalProperties"] = False
            if schema.get("description") == inspect.getdoc(StrictSerializer):
                del schema["description"]  # what it inherits is for developers
    for path in result["paths"].values():
        for operation in path.values():
            _document(operation)
    return result


def _response(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _document(operation: dict[str, Any]) -> None:
    parameters = operation.get("parameters", [])
    responses = operation["responses"]
    if any(parameter["name"] == "dry_run" for parameter in parameters):
        _document_dry_run(responses)
    for made in ("201", "202"):
        if made in responses:
            responses[made]["headers"] = {"Location": _header("Where to follow or find it.", required=True)}
    if any(parameter["name"] == "cursor" for parameter in parameters):
        responses["200"]["headers"] = {"Link": _header("The neighbouring pages (RFC 8288).", required=False)}
    for status in sorted(_statuses(operation)):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}


def _header(description: str, *, required: bool) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string"}}


def _document_dry_run(responses: dict[str, Any]) -> None:
    plan = {"$ref": "#/components/schemas/DryRun"}
    if "200" in responses:
        content = responses["200"]["content"][JSON]
        content["schema"] = {"oneOf": [content["schema"], plan]}
    else:
        responses["200"] = {"description": "The plan of a dry run.", "content": {JSON: {"schema": plan}}}


def _statuses(operation: dict[str, Any]) -> set[int]:
    """Which problems an operation can answer with, from what it takes."""
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    security = operation.get("security", [])
    statuses = {401, 503}
    if any(security):
        statuses.add(403)
    if "429" in operation["responses"]:
        statuses.add(429)
    if "path" in places:
        statuses.add(404)
    if "query" in places:
        statuses |= {400, 422}
    if "header" in places:
        statuses |= {400, 409, 413, 415, 422}
    if "requestBody" in operation:
        statuses |= {400, 413, 415, 422}
    return statuses
