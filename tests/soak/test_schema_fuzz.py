"""Ten thousand requests made up from the OpenAPI document, other ones in every run."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import make_key, make_vm, quick_passwords  # noqa: F401  # fixtures
from tests.api.test_schema_fuzz import (  # noqa: F401  # fixtures
    answered_as_documented,
    bearer,
    examples,
    known,
    one_connection,
    schema,
    undone,
)

pytestmark = pytest.mark.soak
EXAMPLES = 100  # for each of about a hundred endpoints


@schema.parametrize()
@examples(EXAMPLES, derandomize=False)
def test_every_answer_is_a_documented_one(
    case: Any,
    known: dict[str, str],  # noqa: F811
    bearer: dict[str, str],  # noqa: F811
    undone: Callable[[Callable[[], Any]], Any],  # noqa: F811
) -> None:
    answered_as_documented(case, known, bearer, undone)
