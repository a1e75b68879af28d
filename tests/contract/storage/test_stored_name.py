from __future__ import annotations

import pytest

from skewless.contract.storage.stored_name import plain_name, view_name


@pytest.mark.parametrize(
    ("stored_as", "plain", "view"),
    [
        ("spend", "spend", "spend"),
        ("spend@1f2e3d4c", "spend", "spend"),
        ("spend@1f2e3d4c5", "spend", "spend"),
        ("spend@v2", "spend@v2", "spend"),
        ("spend@v2@1f2e3d4c", "spend@v2", "spend"),
    ],
)
def test_the_parts_of_a_stored_name(stored_as: str, plain: str, view: str):
    assert (plain_name(stored_as), view_name(stored_as)) == (plain, view)
