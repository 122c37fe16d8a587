"""Writing what the envelope keeps."""

from datetime import timedelta

from django.db.models.functions import Now

from apps.envelope.models import IdempotencyKey

KEPT_FOR = timedelta(days=2)


def keys_forget() -> int:
    """Drop answers that nobody asks for again; a key may then be used anew. Returns how many."""
    return IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT_FOR).delete()[0]
