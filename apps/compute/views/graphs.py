"""The tab "Graphs" of a machine's page. Its script asks the API for the values."""

import uuid

from django.http import HttpResponse

from apps.compute.selectors.vm import vm_for
from apps.compute.views.vm_page import vm_page
from apps.pages import PageRequest, page


@page
def vm_graphs(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """What was measured of the machine; it stays while the head of the page is replaced."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    return vm_page(request, vm, tab="graphs", still="compute/vm_graphs.html")
