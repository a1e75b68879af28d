from __future__ import annotations

import copy
import pickle
from dataclasses import fields

import pytest

from skewless.contract import errors
from skewless.contract.errors import CorruptRow, InvalidInput, SkewlessError

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SkewlessError)]


def sample(kind):
    """An error of a kind whose every field says its own name."""
    return kind(*[("one", "two") if "tuple" in str(f.type) else f"the {f.name}" for f in named(kind)])


def named(kind):
    return fields(kind) if kind is not SkewlessError else ()


@pytest.mark.parametrize("kind", ALL)
def test_an_error_crosses_a_process_whole(kind):
    error = sample(kind)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert [getattr(again, f.name) for f in named(kind)] == [getattr(error, f.name) for f in named(kind)]


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not SkewlessError])
def test_an_error_names_everything_it_knows(kind):
    error = sample(kind)
    text = str(error)
    assert all(
        word in text
        for f in named(kind)
        for word in ([f"the {f.name}"] if "tuple" not in str(f.type) else ["one; two"])
    )
    assert kind.__name__ in repr(error)
    assert kind.__name__ in errors.__doc__
    with pytest.raises(SkewlessError) as raised:
        raise error
    assert raised.value is error


def test_an_error_made_by_keywords_crosses_too():
    error = CorruptRow(reason="short", view="v")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "of entity" not in str(error)


def test_an_error_with_a_text_of_its_own_crosses_too():
    assert str(pickle.loads(pickle.dumps(SkewlessError("told")))) == "told"


def test_a_pointer_to_the_whole_body_is_said_in_words():
    assert str(InvalidInput("", "is not JSON")) == "the body: is not JSON"
    assert str(InvalidInput("/rows/0", "lacks a key")) == "/rows/0: lacks a key"
