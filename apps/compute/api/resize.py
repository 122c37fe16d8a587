"""Another size for a machine, in the API."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.api.vm import ACCEPTED, answer_accepted
from apps.compute.services.resize import vm_resize
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import StrictSerializer, validated


class ResizeSerializer(StrictSerializer):
    size = serializers.CharField(max_length=63, required=False)
    vcpus = serializers.IntegerField(required=False)
    memory_mib = serializers.IntegerField(required=False)
    disk_gib = serializers.IntegerField(required=False)
    max_vcpus = serializers.IntegerField(required=False)
    max_memory_mib = serializers.IntegerField(required=False)


class VMResizeView(APIView):
    @extend_schema(request=ResizeSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Give it another size or own numbers; what is not named stays. 409 `vm.resize_needs_stop` names what needs
        it off, and in `live` what it could have while it runs. A disk never shrinks.
        """
        values = validated(ResizeSerializer, request)
        return answer_accepted(request, vm_resize(actor=actor_of(request), vm_id=vm_id, **values))
