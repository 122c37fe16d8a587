"""What a policy is, once it has been read. Frozen and plain: the engine and the stored decisions share it."""

from dataclasses import dataclass, field

from apps.placement.policy.expression import Expression


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """A label and the values that are meant; no values: any."""

    label: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What a host must be, beyond what always holds: up, open, of the architecture, with room."""

    vcpus_ratio: float | None = None
    memory_ratio: float | None = None
    disk_ratio: float | None = None
    max_vms: int | None = None
    fresh_within_s: int | None = None
    accelerator: str = "any"
    native: bool = False
    cpu_features: tuple[str, ...] = ()
    image_cached: bool = False
    require_labels: tuple[LabelRule, ...] = ()
    refuse_labels: tuple[LabelRule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Term:
    """One wish with its weight. ``range`` spreads the candidates over 0 to 1; ``none`` takes the number as it is."""

    expression: Expression
    weight: float = 1.0
    prefer: str = "high"
    normalise: str = "range"

    @property
    def name(self) -> str:
        return self.expression.text


@dataclass(frozen=True, kw_only=True)
class PowerModel:
    """Watts of a host of which nothing else is known: when idle, and with every CPU reserved."""

    idle_watts: float = 60.0
    max_watts: float = 180.0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Filters say who may, weighted terms who is best; the highest sum wins, ties go to the first name."""

    name: str
    text: str = ""
    description: str = ""
    filters: Filters = field(default_factory=Filters)
    terms: tuple[Term, ...] = ()
    power: PowerModel = field(default_factory=PowerModel)
