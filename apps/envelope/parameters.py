"""What every mutation takes beside its body, for the documentation."""

from drf_spectacular.utils import OpenApiParameter

DRY_RUN = OpenApiParameter(
    "dry_run", bool, default=False, description="Validate and answer with the plan; write nothing."
)
IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255},
    OpenApiParameter.HEADER,
    description="The same key and body give the same answer.",
)
MUTATION = [DRY_RUN, IDEMPOTENCY]
