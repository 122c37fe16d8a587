"""What was measured of a virtual machine."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.selectors.vm import vm_for
from apps.metrics.api import METRICS, PARAMETERS, answer
from apps.metrics.series import VM as SERIES


class VMMetricsView(APIView):
    @extend_schema(responses=METRICS, parameters=PARAMETERS)
    def get(self, request: Request, vm_id: uuid.UUID) -> Response:
        """What was measured of a machine. Averages and maxima of each step."""
        vm = vm_for(actor=actor_of(request), vm_id=vm_id)
        return Response(answer(request, kind=SERIES, key=vm.pk, host_id=vm.host_id))
