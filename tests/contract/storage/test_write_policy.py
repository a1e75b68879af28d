"""What writers are told: whether to write, and by which ttl rows are kept."""

from __future__ import annotations

import pytest

from skewless.contract.plan import PlanView
from skewless.contract.storage.catalog import removal_field, view_entry, view_field
from skewless.contract.storage.expiry_mode import EXPIRY, ExpiryMode, parse_expiry
from skewless.contract.storage.write_policy import WritePolicy, horizon_argument
from tests.models.flight_plan import AIRCRAFT, but

NOW = 10**15
HOUR = 3_600_000_000


def aging(hours: int) -> PlanView:
    return but(AIRCRAFT, ttl_us=hours * HOUR)


def terms(view: PlanView, catalog: dict[bytes, bytes]) -> WritePolicy:
    return WritePolicy.of(view, [catalog.get(field) for field in WritePolicy.fields(view)])


@pytest.mark.parametrize("told", [None, b"", b"sweep", b"SERVER", b"\xff"])
def test_a_sweep_where_nothing_else_was_chosen(told: bytes | None):
    assert parse_expiry(told) is ExpiryMode.SWEEP
    catalog = {} if told is None else {EXPIRY: told}
    assert terms(AIRCRAFT, catalog) == WritePolicy(removing=False, expiry=ExpiryMode.SWEEP, rule=AIRCRAFT.rule)
    assert terms(AIRCRAFT, catalog).horizon(NOW) is None


@pytest.mark.parametrize(
    ("mine", "stores", "longer"), [(2, 1, 2), (1, 2, 2), (1, None, 1), (0, 2, 0), (2, 0, 0), (0, None, 0)]
)
def test_rows_are_kept_by_the_longer_ttl_of_writer_and_store(mine: int, stores: int | None, longer: int):
    catalog = {EXPIRY: b"server"} | ({} if stores is None else view_entry(aging(stores)))
    assert terms(aging(mine), catalog).horizon(NOW) == horizon_argument(aging(longer).rule, NOW)


def test_a_definition_that_does_not_parse_says_nothing():
    catalog = {EXPIRY: b"server", view_field(AIRCRAFT.stored_as): b"{"}
    assert terms(AIRCRAFT, catalog).horizon(NOW) == horizon_argument(AIRCRAFT.rule, NOW)


def test_a_view_that_is_being_removed_is_told():
    assert terms(AIRCRAFT, {removal_field(AIRCRAFT.stored_as): b"{}"}).removing
