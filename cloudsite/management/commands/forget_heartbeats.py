"""``manage.py forget_heartbeats``: what was heard before this start says nothing about what runs now."""

from typing import Any

from django.core.cache import cache
from django.core.management.base import BaseCommand

from cloudsite.views import HEARTBEATS


class Command(BaseCommand):
    help = "Forget the signs of life of an earlier start. Redis keeps them over a restart."

    def handle(self, *args: Any, **options: Any) -> None:
        cache.delete_many([f"heartbeat:{name}" for name in HEARTBEATS])
