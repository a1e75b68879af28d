"""Whole columns are framed as the protocol sends them, one value after the other."""

from __future__ import annotations

import itertools

import hiredis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ResponseError

from skewless.online.store.lua_pipeline import LuaPipeline, framed

COUNT = "return {#KEYS, ARGV[1], ARGV[#ARGV]}"


@given(st.lists(st.one_of(st.binary(max_size=3), st.just(b"x" * 120)), max_size=9), st.integers(0, 3))
def test_frames_are_those_of_the_client(values, skipped):
    whole, ends = framed(pa.array(values, pa.binary())[skipped:])
    expected = [hiredis.pack_command((value,)).partition(b"\r\n")[2] for value in values[skipped:]]
    assert [bytes(whole[start:stop]) for start, stop in itertools.pairwise(ends)] == expected


@pytest.mark.parametrize("most", [1, 3, 1_000])
def test_calls_cover_all_keys_in_order(redis_url: str, most: int):
    keys = pa.array([b"k%d" % number for number in range(200)])
    with Redis.from_url(redis_url) as client:
        answers = list(LuaPipeline(client, COUNT).run(keys, [b"first"], keys, most))
        assert client.ping()
    assert [place for place, _ in answers] == list(range(0, 200, most))
    assert sum(told[0] for _, told in answers) == 200
    assert {told[1] for _, told in answers} == {b"first"}
    assert answers[-1][1][2] == b"k199"


def test_an_error_leaves_no_answers_behind(redis_url: str):
    keys = pa.array([b"k"] * 50)
    with Redis.from_url(redis_url, max_connections=1) as client:
        with pytest.raises(ResponseError, match="no such luck"):
            list(LuaPipeline(client, "return redis.error_reply('ERR no such luck')").run(keys, [b""], keys, 1))
        assert client.echo("mine") == b"mine"
