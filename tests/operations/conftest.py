"""Operations on a target that no app knows, so that the engine is tested alone."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass(frozen=True)
class Thing:
    """Something that operations are about."""

    name: str = "thing"
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    owner_id: uuid.UUID | None = None


@pytest.fixture
def thing() -> Thing:
    return Thing()


@pytest.fixture
def make_operation(db: None) -> Callable[..., Any]:
    """Queue an operation: ``make_operation(thing, kind="thing.do")``."""
    from apps.operations.services import operation_create

    def make(target: Thing | None = None, *, kind: str = "thing.do", **more: Any) -> Any:
        return operation_create(
            kind=kind, target_type="thing", target=target or Thing(), actor=more.pop("actor", None), **more
        )

    return make
