"""No foreign key points up the layers. Keys by string hide cycles from the import contracts."""

import tomllib
from pathlib import Path

from django.apps import apps
from django.db import models
from django.test.utils import isolate_apps

PYPROJECT = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())


def app_layers() -> dict[str, int]:
    """Each app's height, from the contract in ``pyproject.toml``; the lowest is 0."""
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    contract = next(item for item in contracts if item["name"] == "Apps are layered")
    layers = [[app.strip() for app in layer.split("|")] for layer in reversed(contract["layers"])]
    return {app: height for height, layer in enumerate(layers) for app in layer}


def keys_that_point_up(found: list[type[models.Model]]) -> list[str]:
    """Relations to a model of a higher app."""
    heights = app_layers()
    up: list[str] = []
    for model in found:
        for field in model._meta.get_fields():
            target = field.related_model
            if field.auto_created or not isinstance(target, type):
                continue
            here, there = (apps.get_app_config(item._meta.app_label).name for item in (model, target))
            if here in heights and heights.get(there, -1) > heights[here]:
                up.append(f"{model._meta.label}.{field.name} -> {target._meta.label}")
    return up


def test_no_foreign_key_points_up() -> None:
    ours = [model for model in apps.get_models() if model.__module__.startswith("apps.")]
    assert len(ours) > 15
    assert keys_that_point_up(ours) == []


def test_one_that_does_is_found() -> None:
    with isolate_apps("apps.hosts", "apps.compute") as registry:

        class Machine(models.Model):
            class Meta:
                app_label = "compute"
                apps = registry

        class Rack(models.Model):
            machine = models.ForeignKey(Machine, on_delete=models.CASCADE)

            class Meta:
                app_label = "hosts"
                apps = registry

        assert keys_that_point_up([Rack, Machine]) == ["hosts.Rack.machine -> compute.Machine"]


def test_every_app_has_its_layer() -> None:
    installed = {config.name for config in apps.get_app_configs() if config.name.startswith("apps.")}
    assert installed <= app_layers().keys()
