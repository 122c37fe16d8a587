"""Reasons of placements on pages."""

from collections.abc import Mapping
from typing import Any

from django import template

from apps.dashboard import policy_words

register = template.Library()


@register.filter
def seen(share: Mapping[str, Any]) -> str:
    """What a term saw at a host: ``Free memory: 66 %``."""
    name = policy_words.metric_words(share["term"])
    return f"{name[:1].upper()}{name[1:]}: {policy_words.value_words(share['term'], share['value'])}"


@register.filter
def signed(number: float | None) -> str:
    """What a term adds to a score, with its sign: ``+2.63``; nothing is ``0``."""
    if number is None:
        return "-"
    if not round(number, 2):
        return "0" if not number else f"{number:+.2g}"
    return (f"{number:+.2f}" if abs(number) < 1000 else f"{number:+.0f}").replace("-", "−")  # noqa: RUF001


@register.filter
def points(number: float | None) -> str:
    """A score: ``9.32``, ``14122``."""
    if number is None:
        return "-"
    return f"{number:.2f}" if abs(number) < 1000 else f"{number:.0f}"


@register.filter
def filtered(name: str) -> str:
    """Why a filter rejects hosts: ``too little memory free``."""
    return policy_words.filter_words(name)
