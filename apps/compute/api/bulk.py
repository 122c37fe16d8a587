"""One action on many virtual machines in the API, with a result for each."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.models import User
from apps.accounts.permissions import actor_of
from apps.compute.api.vm import VMSerializer, as_serialized
from apps.compute.selectors.vm import ROW, vm_rows, vms_for
from apps.compute.services.bulk import ACTIONS, MOST_VMS, Item, vms_bulk, whole_plan
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.problem import body_of
from apps.envelope.serializers import StrictSerializer, validated
from apps.operations.api import OperationSerializer


class VMBulkSerializer(StrictSerializer):
    action = serializers.ChoiceField(choices=ACTIONS)
    vms = serializers.ListField(
        child=serializers.CharField(max_length=63),
        min_length=1,
        max_length=MOST_VMS,
        help_text="Ids or names, each once.",
    )
    timeout_s = serializers.IntegerField(required=False, help_text="Of a shutdown.")
    on_timeout = serializers.ChoiceField(choices=["leave", "power-off"], required=False, help_text="Of a shutdown.")
    permanent = serializers.BooleanField(required=False, help_text="Of delete: past or out of the trash.")
    tags = serializers.ListField(
        child=serializers.CharField(), max_length=20, required=False, help_text="Of tag and untag."
    )


def _documented(name: str) -> dict[str, Any]:
    return {"oneOf": [{"$ref": f"#/components/schemas/{name}"}, {"type": "null"}]}


@extend_schema_field(_documented("Problem"))
class ProblemField(serializers.JSONField):
    """Why one was refused."""


@extend_schema_field(_documented("Plan"))
class PlanField(serializers.JSONField):
    """What would be done to one."""


RESULT = inline_serializer(
    "VMBulkResult",
    {
        "reference": serializers.CharField(help_text="What the request called it."),
        "vm": VMSerializer(allow_null=True, required=False),
        "operation": OperationSerializer(allow_null=True, required=False),
        "plan": PlanField(required=False),
        "problem": ProblemField(),
    },
    many=True,
)
ANSWER = inline_serializer(
    "VMBulkAnswer",
    {
        "plan": PlanField(required=False, help_text="Of a dry run: all plans one after the other."),
        "accepted": serializers.IntegerField(help_text="How many were accepted."),
        "refused": serializers.IntegerField(help_text="How many were not."),
        "results": RESULT,
    },
)


class VMBulkView(APIView):
    """Many virtual machines at once."""

    @extend_schema(request=VMBulkSerializer, responses={202: ANSWER, 200: ANSWER}, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Do one action to many machines. Each is checked for itself: what is refused hinders no other.

        202 where a worker has something to do, 200 where none has: only tags, or every machine refused.
        """
        actor = actor_of(request)
        values = validated(VMBulkSerializer, request)
        items = vms_bulk(actor=actor, **values)
        body = {
            "accepted": sum(item.error is None for item in items),
            "refused": sum(item.error is not None for item in items),
        }
        return Answer(
            status=202 if any(item.operation for item in items) else 200,
            plan=whole_plan(items),
            body={**body, "results": _results(actor, items)},
            beside_plan={**body, "results": [_planned(item) for item in items]},
            location=f"/api/v1/operations/?kind=vm.{values['action']}",
        )


def _results(actor: User, items: list[Item]) -> list[dict[str, Any]]:
    """One result for each item, in a constant number of queries."""
    wanted = [item.vm_id for item in items if item.vm_id]
    rows = vms_for(actor=actor).prefetch_related(None).filter(pk__in=wanted).values(*ROW)
    shown = {row["id"]: as_serialized(row) for row in vm_rows(list(rows))}
    return [
        {
            "reference": item.reference,
            "vm": shown.get(item.vm_id) if item.vm_id else None,
            "operation": dict(OperationSerializer(item.operation).data) if item.operation else None,
            "problem": body_of(item.error) if item.error else None,
        }
        for item in items
    ]


def _planned(item: Item) -> dict[str, Any]:
    return {
        "reference": item.reference,
        "plan": asdict(item.plan) if item.plan else None,
        "problem": body_of(item.error) if item.error else None,
    }
