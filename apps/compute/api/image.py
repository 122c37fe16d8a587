"""An image from a virtual machine, in the API."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.services.image import vm_image
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import StrictSerializer, validated
from apps.names import NameField
from apps.operations.api import accepted
from apps.storage.api import SHAPES, ImageSerializer


class VMImageSerializer(StrictSerializer):
    name = NameField()


class VMImageView(APIView):
    """An image of the disk of a VM that is off."""

    @extend_schema(request=VMImageSerializer, responses={202: SHAPES[202]}, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Make an image of the disk of a VM that is off."""
        change = vm_image(actor=actor_of(request), vm_id=vm_id, **validated(VMImageSerializer, request))
        shown = dict(ImageSerializer(change.image).data)
        return accepted(name="image", resource=shown, operation=change.operation, plan=change.plan)
