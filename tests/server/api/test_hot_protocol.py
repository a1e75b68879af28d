"""What the protocol answers by itself is what the ASGI application answers; what it does not, uvicorn does."""

from __future__ import annotations

import json

import httpx
import pytest
from redis import Redis

from tests.services.predict_server import PREDICT, ROW, Live
from tests.services.raw_requests import connected, message

JSON = {"Content-Type": "application/json"}


def same(told: httpx.Response) -> tuple[int, dict[str, str], object]:
    """An answer but for when it was given."""
    headers = {name: value for name, value in told.headers.items() if name != "date"}
    return told.status_code, headers, told.json()


@pytest.mark.parametrize(
    "body",
    [
        {"rows": [ROW]},
        {"rows": [ROW] * 7},
        {"rows": [{**ROW, "hour": None, "origin": "nobody"}]},
        {"rows": []},
        {"rows": [{**ROW, "hour": 1.5}]},
        {"rows": [ROW], "explain": "features"},
        {"rows": [ROW], "explain": "contributions"},
        {"rows": [ROW], "as_of": "2013-10-01T12:00:00Z"},
        {"rows": [ROW], "as_of": "never"},
        [],
    ],
)
def test_the_short_way_answers_what_asgi_answers(live: Live, shortcuts: list[str], body: object):
    """A header that uvicorn joins and we do not look at sends the same request the long way."""
    headers = {**JSON, "X-Request-ID": "same"}
    short = live.client.post(PREDICT, json=body, headers=headers)
    assert shortcuts == ["same"]
    long = live.client.post(PREDICT, json=body, headers=[*headers.items(), ("X-Twice", "1"), ("X-Twice", "2")])
    assert shortcuts == ["same"]
    assert same(short) == same(long)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (message(target="/v1/models/none/predict"), 404),
        (message(target="/v1/models/%74iny/predict"), 200),
        (message(Content_Type="text/plain"), 415),
        (message(Content_Encoding="gzip"), 415),
        (message(Content_Length="9" * 9, body=b""), 413),
        (message(Expect="100-continue"), 100),
        (message().replace(b"POST", b"PUT"), 405),
        (message(Content_Type="", Content_Length=""), 415),
    ],
)
def test_what_is_unusual_is_left_to_uvicorn(live: Live, shortcuts: list[str], given: bytes, status: int):
    with connected(live) as (connection, responses):
        connection.sendall(given)
        assert responses.read().status == status
    assert shortcuts == []
    with connected(live) as (connection, responses):
        connection.sendall(message())
        assert responses.read().status == 200
        connection.sendall(given)
        assert responses.read().status == status
    assert len(shortcuts) == 1


def test_a_message_in_pieces(live: Live, shortcuts: list[str]):
    with connected(live) as (connection, responses):
        whole = message()
        for place in range(0, len(whole), 7):
            connection.sendall(whole[place : place + 7])
        response = responses.read()
        assert (response.status, response.reason) == (200, b"OK")
    assert len(shortcuts) == 1


def test_messages_one_after_the_other_and_at_once(live: Live, shortcuts: list[str]):
    """Of messages that are sent before the last is answered, only the first goes the short way; all are answered."""
    with connected(live) as (connection, responses):
        for _ in range(3):
            connection.sendall(message())
            assert responses.read().body.count(b'"scores"') == 1
        assert len(shortcuts) == 3
        ids = [f"id-{place}" for place in range(4)]
        connection.sendall(b"".join(message(X_Request_ID=one) for one in ids))
        assert [json.loads(responses.read().body)["request_id"] for _ in ids] == ids
        connection.sendall(message())
        assert responses.read().status == 200
    assert shortcuts[3] == "id-0"


def test_who_leaves_before_the_answer_harms_nobody(live: Live):
    for _ in range(20):
        with connected(live) as (connection, _):
            connection.sendall(message())
    assert live.predict(ROW).status_code == 200


def test_a_failing_store_is_told_and_the_connection_stays(live: Live, shortcuts: list[str]):
    with Redis.from_url(live.settings.redis_url) as client:
        (key,) = [k for k in client.keys("*") if b"JFK" in k]
        client.rename(key, "kept")
        client.set(key, "text")
    with connected(live) as (connection, responses):
        connection.sendall(message(X_Request_ID="bad"))
        response = responses.read()
        assert response.status == 502
        assert response.headers[b"content-type"] == b"application/problem+json"
        assert response.headers[b"x-request-id"] == b"bad"
        connection.sendall(message(json.dumps({"rows": [{**ROW, "origin": "LGA"}]}).encode()))
        assert responses.read().status == 200
    assert len(shortcuts) == 2
