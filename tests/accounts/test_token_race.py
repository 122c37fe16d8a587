"""One refresh token, traded in eight times at once against a real PostgreSQL."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from apps.accounts import services, tokens
from apps.accounts.models import Scope, TokenFamily, User
from apps.accounts.selectors import sign_in_query

pytestmark = pytest.mark.django_db(transaction=True)
PARALLEL = 8


def at_once(call: Callable[[], Any]) -> list[Any]:
    """What the call gives in each of eight threads that start together; None for a refused token."""
    barrier = threading.Barrier(PARALLEL)

    def run(_number: int) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=20)
            return call()
        except tokens.TokenInvalid:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(run, range(PARALLEL)))


def test_exactly_one_wins_and_then_the_family_is_revoked(member: User) -> None:
    pair = services.token_issue(user=member, scope=Scope.FULL)
    answers = at_once(lambda: services.token_refresh(raw=pair.refresh))
    winners = [answer for answer in answers if answer]
    assert len(winners) == 1
    assert TokenFamily.objects.get().revoked_at is not None
    answer = APIClient().get("/api/v1/me/", HTTP_AUTHORIZATION=f"Bearer {winners[0].access}")
    assert answer.status_code == 401
    with pytest.raises(tokens.TokenInvalid):
        services.token_refresh(raw=winners[0].refresh)


def test_control_read_then_write_lets_several_win(member: User) -> None:
    """The protection removed: look, then write. A barrier stands where the threads would meet by chance."""
    pair = services.token_issue(user=member, scope=Scope.FULL)
    claims = tokens.read(tokens.Refresh, pair.refresh)
    looked = threading.Barrier(PARALLEL)

    def naive() -> tokens.Pair | None:
        family = sign_in_query(family_id=claims.family, user_id=claims.user)
        assert family is not None
        is_good = family.current == claims.jti
        looked.wait(timeout=20)
        if not is_good:
            return None
        family.current = uuid.uuid4()
        family.save()
        return tokens.issue(family=family, role=member.role)

    assert len([answer for answer in at_once(naive) if answer]) > 1


def test_a_refresh_beside_a_sign_out_never_outlives_it(member: User) -> None:
    pair = services.token_issue(user=member, scope=Scope.FULL)
    turn = iter([True] + [False] * (PARALLEL - 1))
    lock = threading.Lock()

    def act() -> tokens.Pair | None:
        with lock:
            signs_out = next(turn)
        if signs_out:
            services.token_revoke(raw=pair.refresh)
            return None
        return services.token_refresh(raw=pair.refresh)

    for answer in at_once(act):
        if answer:
            with pytest.raises(tokens.TokenInvalid):
                services.token_refresh(raw=answer.refresh)
