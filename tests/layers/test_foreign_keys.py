"""A foreign key named by a string is a dependency that the import contracts cannot see."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

import pytest
from django.apps import apps
from django.conf import settings

Reference = tuple[str, str, str]
"""Who refers, by which field, to whom (labels of apps)."""


def levels() -> dict[str, int]:
    """The height of every app, from the one place where the layers are written down."""
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["name"] == "Apps are layered")
    heights = {}
    for height, layer in enumerate(reversed(layers)):
        for name in layer.split("|"):
            heights[name.strip().removeprefix("apps.")] = height
    return heights


def references() -> list[Reference]:
    """Every relation of our own models to another of our apps."""
    ours = [model for model in apps.get_models() if model.__module__.startswith("apps.")]
    labels = {model._meta.app_label for model in ours}
    return [
        (model._meta.app_label, f"{model.__name__}.{field.name}", field.related_model._meta.app_label)
        for model in ours
        for field in model._meta.get_fields()
        if field.is_relation and not field.auto_created and hasattr(field.related_model, "_meta")
        if field.related_model._meta.app_label in labels
    ]


def pointing_up(found: Iterable[Reference], heights: dict[str, int]) -> list[str]:
    """Relations to a higher app, or to a neighbour on the same level."""
    return [
        f"{owner}: {name} points up to {target}"
        for owner, name, target in found
        if owner != target and heights[target] >= heights[owner]
    ]


def test_no_foreign_key_points_up() -> None:
    found = references()
    assert len(found) > 10, "the models were not found, so nothing is proven"
    assert pointing_up(found, levels()) == []


def test_every_app_with_models_has_its_place() -> None:
    assert {owner for owner, _, _ in references()} <= set(levels())


@pytest.mark.parametrize(("owner", "target"), [("hosts", "compute"), ("network", "storage"), ("errors", "dashboard")])
def test_one_that_points_up_or_aside_is_seen(owner: str, target: str) -> None:
    wrong: Reference = (owner, "Model.field", target)
    assert pointing_up([wrong], levels()) == [f"{owner}: Model.field points up to {target}"]
