"""A copy of a machine, in the API."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.api.vm import ACCEPTED, answer_accepted
from apps.compute.services.clone import vm_clone
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import StrictSerializer, validated
from apps.names import NameField


class CloneSerializer(StrictSerializer):
    name = NameField()


class VMCloneView(APIView):
    @extend_schema(request=CloneSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Make a VM of its own with a full copy of this one's disk, on the same host. This one has to be off
        (409 `clone.needs_stop`) and stays so while its disk is copied. The answer's VM is the new one.
        """
        values = validated(CloneSerializer, request)
        return answer_accepted(request, vm_clone(actor=actor_of(request), vm_id=vm_id, **values))
