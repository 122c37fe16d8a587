"""CPU models as libvirt's XML."""

from hypervisor import xml_tree
from hypervisor.xml_tree import E, Element


def build_model(architecture: str, model: str) -> str:
    """A CPU that is this model and nothing else."""
    return xml_tree.render(E.cpu(E.arch(architecture), E.model(model)))


def features(model: Element, whole: Element) -> tuple[str, ...]:
    """What a host-model of the domain capabilities has: all of its named model, as written out in `whole`, and what is
    added to that or taken away.
    """
    found = {feature.get("name", "") for feature in whole.findall("feature") if feature.get("policy") != "disable"}
    for feature in model.findall("feature"):
        name = feature.get("name", "")
        if feature.get("policy") == "require":
            found.add(name)
        else:
            found.discard(name)
    return tuple(sorted(found - {""}))
