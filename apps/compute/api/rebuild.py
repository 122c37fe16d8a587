"""A new root disk for a machine, in the API."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.api.vm import ACCEPTED, answer_accepted
from apps.compute.services.rebuild import vm_rebuild
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import StrictSerializer, validated


class RebuildSerializer(StrictSerializer):
    image = serializers.CharField(max_length=63)


class VMRebuildView(APIView):
    @extend_schema(request=RebuildSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Destroy its root disk and make a new one from an image. Who it is stays: id, name,
        MAC, address, SSH keys, user-data.
        """
        values = validated(RebuildSerializer, request)
        return answer_accepted(request, vm_rebuild(actor=actor_of(request), vm_id=vm_id, **values))
