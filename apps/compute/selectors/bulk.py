"""Which VMs a list of references means, in one query however long it is."""

import uuid
from dataclasses import dataclass

from django.db.models import Q

from apps.accounts.models import User
from apps.compute.selectors.vm import vms_for
from apps.names import as_id


@dataclass(frozen=True, kw_only=True)
class VMNames:
    """The VMs that an actor may see among those that were named."""

    names: dict[uuid.UUID, str]
    ids: dict[str, list[uuid.UUID]]

    def found(self, reference: str) -> list[uuid.UUID]:
        """The VM with this id, or those with this name: an admin sees namesakes of several owners."""
        vm_id = as_id(reference)
        if vm_id is not None:
            return [vm_id] if vm_id in self.names else []
        return self.ids.get(reference, [])


def vm_names(*, actor: User, references: list[str]) -> VMNames:
    """Look all of them up. An admin's own VM goes before a namesake of somebody else."""
    wanted = [as_id(reference) or reference for reference in references]
    ids = [item for item in wanted if isinstance(item, uuid.UUID)]
    named = [item for item in wanted if isinstance(item, str)]
    found = vms_for(actor=actor).prefetch_related(None).filter(Q(pk__in=ids) | Q(name__in=named))
    names: dict[uuid.UUID, str] = {}
    by_name: dict[str, list[uuid.UUID]] = {}
    own: dict[str, list[uuid.UUID]] = {}
    for vm_id, name, owner_id in found.values_list("pk", "name", "owner_id"):
        names[vm_id] = name
        by_name.setdefault(name, []).append(vm_id)
        if owner_id == actor.pk:
            own[name] = [vm_id]
    return VMNames(names=names, ids=by_name | own)
