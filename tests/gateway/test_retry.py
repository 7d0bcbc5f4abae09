"""May a request be sent again: the whole truth table of rule 9 of requests."""

from itertools import product

import pytest

from proxy.gateway.retry import IDEMPOTENT, may_resend

METHODS = {
    b"GET": True,
    b"HEAD": True,
    b"OPTIONS": True,
    b"PUT": True,
    b"DELETE": True,
    b"POST": False,
    b"PATCH": False,
    b"get": False,
    b"REPORT": False,
}


@pytest.mark.parametrize(("method", "idempotent"), METHODS.items())
def test_which_methods_may_be_repeated(method: bytes, idempotent: bool) -> None:
    assert (method in IDEMPOTENT) is idempotent


@pytest.mark.parametrize("method", METHODS)
def test_a_request_is_sent_again_only_where_every_condition_holds(method: bytes) -> None:
    for replayable, reused, answered in product((False, True), repeat=3):
        expected = METHODS[method] and replayable and reused and not answered

        assert (
            may_resend(method, replayable=replayable, reused=reused, answered=answered) is expected
        )
