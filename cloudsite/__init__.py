"""The project: settings, URLs, ASGI, Celery and what concerns the whole API."""

from cloudsite.celery import app as celery_app

__all__ = ["celery_app"]
