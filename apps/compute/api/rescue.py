"""Rescue systems and CDs, in the API."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.api.vm import ACCEPTED, answer_accepted
from apps.compute.services.rescue import vm_eject, vm_insert, vm_rescue, vm_unrescue
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated


class RescueSerializer(StrictSerializer):
    image = serializers.CharField(max_length=63, required=False, help_text="Its own image unless another is named.")


class InsertSerializer(StrictSerializer):
    image = serializers.CharField(max_length=63, help_text="An image in the format iso.")
    boot = serializers.BooleanField(
        required=False, help_text="Switch it off without asking the guest, and boot from the CD at once."
    )


class VMRescueView(APIView):
    @extend_schema(request=RescueSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Boot it from a fresh disk of an image, with its own disk as the second one. What runs is switched off."""
        values = validated(RescueSerializer, request)
        return answer_accepted(request, vm_rescue(actor=actor_of(request), vm_id=vm_id, **values))


class VMUnrescueView(APIView):
    @extend_schema(request=EmptySerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Back to its own disk; the rescue system's disk is destroyed."""
        validated(EmptySerializer, request)
        return answer_accepted(request, vm_unrescue(actor=actor_of(request), vm_id=vm_id))


class VMInsertView(APIView):
    @extend_schema(request=InsertSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Put a CD into its drive. It boots from it when it is next switched on, or at once with `boot`."""
        values = validated(InsertSerializer, request)
        return answer_accepted(request, vm_insert(actor=actor_of(request), vm_id=vm_id, **values))


class VMEjectView(APIView):
    @extend_schema(request=EmptySerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Take the CD out of its drive; from then on it boots from its disk."""
        validated(EmptySerializer, request)
        return answer_accepted(request, vm_eject(actor=actor_of(request), vm_id=vm_id))
