"""What guests find in their CPU: what every implementation of the interface says of it."""

import re

from hypervisor import cpu_xml, xml_tree
from tests.hypervisor.bed import Bed


def test_features_are_named_each_once_and_by_accelerator(bed: Bed) -> None:
    bed.needs("cpu-features")
    found = bed.hypervisor.facts().cpu_features
    assert "tcg" in found and set(found) <= {"kvm", "tcg"}
    for names in found.values():
        assert list(names) == sorted(set(names))
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,31}", name) for name in names)
    assert {"aes", "popcnt", "sse4.2"} <= {*found["tcg"]}


def test_a_model_stands_for_its_features_but_for_what_is_taken_away() -> None:
    model = xml_tree.parse(
        "<mode name='host-model' supported='yes'><model fallback='forbid'>EPYC</model><vendor>AMD</vendor>"
        "<feature policy='require' name='avx512f'/><feature policy='disable' name='monitor'/></mode>"
    )
    whole = xml_tree.parse(
        "<cpu mode='custom' match='exact'><model>EPYC</model><feature policy='require' name='avx2'/>"
        "<feature policy='require' name='monitor'/><feature policy='disable' name='svm'/></cpu>"
    )
    assert cpu_xml.features(model, whole) == ("avx2", "avx512f")
    assert "<model>EPYC</model>" in cpu_xml.build_model("x86_64", "EPYC")
