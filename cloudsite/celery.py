"""Celery. Redis is only a doorbell here: every message is one id, and losing all of them costs latency.

See ``docs/adr/0002-postgresql-is-the-queue.md`` for why the delivery settings below are not relied upon.
"""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudsite.settings")

from django.conf import settings  # needs the settings module named above

from apps.operations import timeouts
from cloudsite.config import load

app = Celery("cloudsite")
app.conf.update(
    broker_url=load().broker_url,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": timeouts.visibility(),
        "socket_connect_timeout": 2,
        "health_check_interval": 10,
    },
    imports=["workers.tasks"],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_time_limit=timeouts.self_kill(),
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=2000,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    beat_schedule_filename=str(settings.STATE_DIR / "run" / "beat-schedule"),
    beat_schedule={
        # A bell that lay in Redis while nothing ran must not be taken for a beat that is alive.
        "sweep": {
            "task": "operations.sweep",
            "schedule": 5.0 * settings.TIME_SCALE,
            "options": {"expires": 15.0 * max(1.0, settings.TIME_SCALE)},
        },
        # Often, so that hosts whose turn has come are few each time: each is read at its own interval.
        "reconcile": {
            "task": "hosts.reconcile_all",
            "schedule": 2.0 * settings.TIME_SCALE,
            "options": {"expires": 10.0 * max(1.0, settings.TIME_SCALE)},
        },
        "probe again": {"task": "hosts.probe_again", "schedule": 10.0 * settings.TIME_SCALE},
        "forget images": {"task": "storage.forget", "schedule": 24 * 3600.0},
        "roll up metrics": {
            "task": "metrics.roll_up",
            "schedule": 30.0 * settings.TIME_SCALE,
            "options": {"expires": 60.0 * max(1.0, settings.TIME_SCALE)},
        },
        "forget metrics": {"task": "metrics.forget", "schedule": 3600.0},
        "roll up placements": {"task": "placement.roll_up", "schedule": 3600.0},
        "forget keys": {"task": "envelope.forget_keys", "schedule": 3600.0},
    },
    timezone="UTC",
)


@setup_logging.connect
def keep_our_logging(**_kwargs: object) -> None:
    """Celery must not replace the logging that the settings configured."""
