"""A Secret cannot be printed, formatted, pickled or compared loosely."""

import copy
import gc
import json
import pickle
import traceback

import pytest

from proxy.system.secret import MASK, Secret, living_secrets, secrets_made

VALUE = "hunter2-canary-value"


@pytest.mark.parametrize(
    "shown",
    [
        str,
        repr,
        "{}".format,
        "{!r:>40}".format,
        lambda s: f"{s}",
        lambda s: f"{s:>40}",
        lambda s: "%s %r" % (s, s),  # noqa: UP031 - the old way of formatting is the point
        lambda s: repr([s, {"a": s}]),
        lambda s: str(ValueError(s)),
    ],
)
def test_no_way_of_printing_shows_the_value(shown):
    assert VALUE not in shown(Secret(VALUE))
    assert MASK in shown(Secret(VALUE))


def test_reveal_is_the_one_way_out():
    assert Secret(VALUE).reveal() == VALUE


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol):
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE), protocol)


def test_it_is_not_json_and_has_no_dict():
    with pytest.raises(TypeError):
        json.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        vars(Secret(VALUE))


def test_a_copy_is_the_same_object():
    secret = Secret(VALUE)

    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_it_is_compared_with_secrets_alone():
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE + "x")
    with pytest.raises(TypeError):
        assert Secret(VALUE) == VALUE
    with pytest.raises(TypeError):
        {Secret(VALUE)}


def test_an_empty_one_is_false():
    assert not Secret("")
    assert Secret("x")


def test_a_traceback_with_its_locals_does_not_show_it():
    try:
        secret = Secret(VALUE)
        raise RuntimeError(secret)
    except RuntimeError as error:
        shown = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )

    # The line of source with the constant is this test's own.
    assert f"'{VALUE}'" not in shown.replace(f"VALUE = '{VALUE}'", "")


def test_living_ones_are_known_and_gone_ones_are_not():
    before = secrets_made()
    secret = Secret("a living secret")
    assert any(known is secret for known in living_secrets())
    assert secrets_made() == before + 1

    del secret
    gc.collect()
    assert all(known.reveal() != "a living secret" for known in living_secrets())
