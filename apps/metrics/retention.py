"""What is too old goes, a partition at a time."""

from datetime import datetime

import structlog
from django.db import OperationalError, transaction

from apps.metrics.models import TouchedWindow
from apps.metrics.tables import RAW, partition_drop, partitions_ahead, partitions_expired

log = structlog.get_logger(__name__)


def samples_forget(*, now: datetime) -> int:
    """Make the partitions of the next days and drop those whose time is over. Returns how many were dropped."""
    with transaction.atomic():
        partitions_ahead(now=now)
    dropped = 0
    for name in partitions_expired(now=now):
        try:
            with transaction.atomic():
                partition_drop(name)
            dropped += 1
        except OperationalError as error:  # somebody reads it now; the next round tries again
            log.info("metrics.partition_busy", partition=name, reason=str(error))
    TouchedWindow.objects.filter(at__lt=now - 2 * RAW.kept - RAW.span).delete()
    return dropped
