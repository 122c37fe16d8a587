"""Policies of every shape, as text: what a person could write."""

from hypothesis import strategies as st

from apps.placement.policy.language import policy_read
from apps.placement.policy.metrics import METRICS

NAMES = (*METRICS, "label_rack", "label_idle_watts")
numbers = st.sampled_from(["0", "1", "0.5", "1000000000", "3"])
formulas = st.recursive(
    st.one_of(st.sampled_from(NAMES), numbers),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
        st.builds("abs(-{})".format, inner),
    ),
    max_leaves=4,
)
metrics = st.one_of(st.sampled_from(NAMES), st.builds("{} + {}".format, st.sampled_from(NAMES), formulas))
terms = st.builds(
    '  - {{metric: "{}", weight: {}, prefer: {}, normalise: {}}}\n'.format,
    metrics.filter(lambda text: len(text) < 150),
    st.sampled_from(["0.01", "1", "1000"]),
    st.sampled_from(["high", "low"]),
    st.sampled_from(["range", "none"]),
)
filters = st.lists(
    st.sampled_from(
        [
            "  vcpus: {ratio: 0.5}\n",
            "  memory: {ratio: 0.9}\n",
            "  disk: {ratio: 3}\n",
            "  max_vms: 2\n",
            "  fresh_within_s: 60\n",
            "  accelerator: kvm\n",
            "  native: true\n",
            "  cpu_features: [aes]\n",
            "  image_cached: true\n",
            '  labels: {require: {ssd: ["true", a]}, refuse: {rack: "3"}}\n',
        ]
    ),
    unique=True,
)


@st.composite
def policies(draw: st.DrawFn) -> object:
    chosen = "".join(draw(filters))
    score = "".join(draw(st.lists(terms, min_size=1, max_size=3, unique_by=lambda term: term.split('"')[1])))
    return policy_read(f"name: p\n{'filters:' if chosen else ''}\n{chosen}score:\n{score}")
