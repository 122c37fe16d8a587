"""A decision as plain data for the API and the pages."""

from dataclasses import asdict
from typing import Any

from apps.placement.engine.decide import Decision, Verdict

MOST_VERDICTS = 200


def as_trace(decision: Decision) -> dict[str, Any]:
    """Who won and by how much, what each filter removed, and host by host why: the best candidates first, and as
    many of the rejected; ``hosts`` counts all of them.
    """
    best, second = decision.winner, decision.runner_up
    return {
        "policy": decision.policy.name,
        "best": best.name if best else None,
        "runner_up": second.name if second else None,
        "margin": None if decision.margin is None else round(decision.margin, 6),
        "hosts": len(decision.snapshot),
        "fitting": int(decision.fits.sum()),
        "removed": [{"filter": name, "hosts": count} for name, count in decision.removed.items()],
        "verdicts": [as_dict(verdict) for verdict in decision.verdicts(most=MOST_VERDICTS)],
    }


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """One host, with its verdict in a sentence."""
    plain = {key: value for key, value in asdict(verdict).items() if key != "host_id"}
    return {**plain, "shares": [asdict(share) for share in verdict.shares], "words": words(verdict)}


def words(verdict: Verdict) -> str:
    """``h3 rejected: 512 MiB short of memory (…)``, or the score and where it is from."""
    if verdict.rejected_by is not None:
        return f"{verdict.host} rejected: {verdict.reason}"
    parts = ", ".join(f"{share.term} {share.value:.6g} → {share.adds:+.4g}" for share in verdict.shares)
    return f"{verdict.host} scored {verdict.score:.6g}: {parts}"
