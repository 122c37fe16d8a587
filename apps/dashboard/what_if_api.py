"""What-if questions in the API, over the same answer as the page. For administrators: they name hosts."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import AdminOnly, actor_of
from apps.dashboard.what_if_forms import MOST_GROWTH, MOST_HOSTS
from apps.dashboard.what_if_selectors import MOST_MACHINES, Answer, question_of, what_if_answer
from apps.envelope.serializers import StrictSerializer, validated
from apps.placement.api import NewHostSerializer


class WhatIfSerializer(StrictSerializer):
    """How the cloud is different: machines grow first, then hosts come, then hosts go. And of what there is room."""

    size = serializers.CharField(max_length=63, required=False, help_text="Room for how many of it; else own numbers.")
    vcpus = serializers.IntegerField(required=False)
    memory_mib = serializers.IntegerField(required=False)
    disk_gib = serializers.IntegerField(required=False)
    policy = serializers.CharField(max_length=63, required=False, help_text="Default: that of the size.")
    grow_percent = serializers.IntegerField(min_value=0, max_value=MOST_GROWTH, default=0)
    add_hosts = serializers.ListField(child=NewHostSerializer(), max_length=MOST_HOSTS, default=list)
    remove_hosts = serializers.ListField(
        child=serializers.CharField(max_length=63), max_length=1000, default=list, help_text="By id or name."
    )


class MachineAtSerializer(serializers.Serializer[Any]):
    """A machine, or a volume that stands by itself."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    host = serializers.CharField(help_text="Where it is, or would go.")


class LossSerializer(serializers.Serializer[Any]):
    host = serializers.CharField()
    machines = serializers.IntegerField(help_text="How many are on it.")
    homeless = MachineAtSerializer(many=True, help_text="Those that would find no room on the others.")


class OverSerializer(serializers.Serializer[Any]):
    host = serializers.CharField()
    resource = serializers.CharField()
    unit = serializers.CharField()
    excess = serializers.IntegerField()


class RoomSerializer(serializers.Serializer[Any]):
    host = serializers.CharField()
    machines = serializers.IntegerField()


class PowerSerializer(serializers.Serializer[Any]):
    hosts = serializers.IntegerField()
    watts = serializers.FloatField()
    homeless = serializers.IntegerField()


class EnergySerializer(serializers.Serializer[Any]):
    """All machines placed anew by each policy, and the power of the hosts in use by the model."""

    now = serializers.FloatField(help_text="Watts, as the machines are.")
    energy = PowerSerializer()
    spread = PowerSerializer()
    saves = serializers.FloatField(help_text="Watts that `energy` saves against `spread`.")


class WhatIfAnswerSerializer(serializers.Serializer[Any]):
    hosts = serializers.IntegerField()
    machines = serializers.IntegerField()
    survives = serializers.BooleanField(
        allow_null=True, help_text=f"The loss of any one host. Null: beyond {MOST_MACHINES} machines it is not said."
    )
    losses = LossSerializer(many=True, allow_null=True, help_text="For each host, the worst first.")
    moved = MachineAtSerializer(many=True, help_text="Where those of the removed hosts would go.")
    homeless = MachineAtSerializer(many=True, help_text="Those of the removed hosts that would find no room.")
    over = OverSerializer(many=True, help_text="Where more is claimed than may be, once all have grown.")
    room = RoomSerializer(many=True)
    room_total = serializers.IntegerField(help_text="How many more of the size there is room for.")
    energy = EnergySerializer(allow_null=True)


def as_body(answer: Answer) -> dict[str, Any]:
    """The answer by the names of the API."""
    return {
        "hosts": answer.hosts,
        "machines": answer.machines,
        "survives": None if answer.losses is None else answer.survives,
        "losses": answer.losses,
        "moved": [machine for machine, _host in answer.moved.placed],
        "homeless": answer.moved.homeless,
        "over": answer.over,
        "room": [{"host": host, "machines": count} for host, count in answer.room.items()],
        "room_total": answer.room_total,
        "energy": answer.energy,
    }


class WhatIfView(APIView):
    permission_classes = [AdminOnly]

    @extend_schema(request=WhatIfSerializer, responses=WhatIfAnswerSerializer)
    def post(self, request: Request) -> Response:
        """Ask what would be if machines grew, hosts came or hosts were gone. Places nothing."""
        actor = actor_of(request)
        question = question_of(actor=actor, **validated(WhatIfSerializer, request))
        return Response(WhatIfAnswerSerializer(as_body(what_if_answer(actor=actor, question=question))).data)
