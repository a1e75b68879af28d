from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.scaffold.names import BadProjectName, feast_name, identifier


@pytest.mark.parametrize(
    ("name", "project"), [("shop", "shop"), ("My-Shop", "my_shop"), ("a.b_c", "a_b_c"), ("s3", "s3")]
)
def test_a_name_of_a_distribution_is_taken(name: str, project: str):
    assert feast_name(name) == project


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("my shop", "my-shop"),
        ("../shop", "shop"),
        ("shop/", "shop"),
        ("3shops", "shops"),
        ("-", "shop"),
        ("", "shop"),
        ("skewless", "shop"),
        ("shop_", "shop"),
    ],
)
def test_another_name_is_refused_with_one_that_works(name: str, similar: str):
    with pytest.raises(BadProjectName, match=rf"try `skewless init {similar}`"):
        feast_name(name)
    feast_name(similar)


@given(st.text())
def test_the_name_in_the_message_is_taken(name: str):
    try:
        feast_name(name)
    except BadProjectName as error:
        feast_name(error.similar)


@given(st.text())
def test_any_text_gives_an_identifier(text: str):
    name = identifier(text)
    assert name.isidentifier()
    assert name.isascii()
    assert not keyword.iskeyword(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Order Total", "order_total"), ("orderedAt", "ordered_at"), ("2nd", "column_2nd"), ("if", "if_")],
)
def test_words_stay_readable(text: str, name: str):
    assert identifier(text) == name
