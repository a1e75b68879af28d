"""HTTP/1.1 (RFC 9110, 9112) as a table of raw messages, over both paths: below ASGI, and through it."""

from __future__ import annotations

import json
import socket

import pytest

from skewless.server.api.request_ids import HEADER
from tests.services.predict_server import PREDICT, Live
from tests.services.raw_requests import BODY, BOTH, DIRECT, connected, message, scored

PROBLEM = b"application/problem+json"


@BOTH
@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAMAAABkAAQAAP__"},
        {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "eA=="},
        {"Connection": "upgrade", "Upgrade": "h2c", "Content_Length": "", "Transfer_Encoding": "chunked"},
    ],
    ids=["h2c of Java's HttpClient", "websocket", "chunked"],
)
def test_an_upgrade_is_ignored(live: Live, path: dict[str, str], headers: dict[str, str]):
    body = BODY if "Transfer_Encoding" not in headers else b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    with connected(live) as (connection, responses):
        whole = message(body, **path, **headers)
        for part in (whole, whole[:40], whole[40:-3], whole[-3:] + message(**path)):
            connection.sendall(part)
        assert all(scored(responses.read()) for _ in range(3))


@BOTH
def test_an_upgrade_that_also_closes_is_closed(live: Live, path: dict[str, str]):
    with connected(live) as (connection, responses):
        connection.sendall(message(**path, Connection="Upgrade, close", Upgrade="h2c"))
        assert responses.read().headers[b"connection"] == b"close"
        assert responses.at_end()


@BOTH
@pytest.mark.parametrize(
    ("version", "asked", "told"),
    [
        ("1.1", "", None),
        ("1.1", "keep-alive", None),
        ("1.1", "close", b"close"),
        ("1.0", "", b"close"),
        ("1.0", "close", b"close"),
    ],
)
def test_whether_a_connection_stays(live: Live, path: dict[str, str], version: str, asked: str, told: bytes | None):
    with connected(live) as (connection, responses):
        connection.sendall(message(**path, version=version, Connection=asked))
        response = responses.read()
        assert scored(response)
        assert response.headers.get(b"connection") == told
        if told is None:
            connection.sendall(message(**path, version=version, Connection=asked))
            assert scored(responses.read())
        else:
            assert responses.at_end()


@BOTH
def test_a_client_of_http_1_0_that_wants_to_stay_learns_whether_it_may(live: Live, path: dict[str, str]):
    with connected(live) as (connection, responses):
        connection.sendall(message(**path, version="1.0", Connection="keep-alive"))
        response = responses.read()
        assert scored(response)
        if path is DIRECT:
            assert response.headers[b"connection"] == b"keep-alive"
            connection.sendall(message(**path, version="1.0", Connection="keep-alive", Host=""))
            assert scored(responses.read())
        else:
            assert response.headers[b"connection"] == b"close"
            assert responses.at_end()


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/v1/models/none/predict", {}, 404),
        (PREDICT, {"Content_Length": "9" * 9}, 413),
        (PREDICT, {"Content_Type": "text/plain"}, 415),
        ("/nowhere", {}, 404),
    ],
)
def test_who_waits_for_continue_and_gets_an_answer_starts_anew(
    live: Live, target: str, headers: dict[str, str], status: int
):
    with connected(live) as (connection, responses):
        connection.sendall(message(target=target, Expect="100-continue", **headers).partition(b"{")[0])
        response = responses.read()
        assert (response.status, response.headers[b"connection"]) == (status, b"close")
        assert responses.at_end()


def test_who_waits_for_continue_and_may_go_on_stays(live: Live):
    with connected(live) as (connection, responses):
        head, brace, rest = message(Expect="100-continue").partition(b"{")
        connection.sendall(head)
        assert responses.read().status == 100
        connection.sendall(brace + rest + message())
        assert scored(responses.read())
        assert scored(responses.read())


@BOTH
def test_fields_after_a_chunked_body_are_no_headers(live: Live, path: dict[str, str]):
    chunked = b"%x\r\n%b\r\n0\r\nX-Request-ID: trailer\r\nContent-Type: text/plain\r\n\r\n" % (len(BODY), BODY)
    with connected(live) as (connection, responses):
        whole = message(chunked, **path, Content_Length="", Transfer_Encoding="chunked", X_Request_ID="header")
        for place in range(0, len(whole), 11):
            connection.sendall(whole[place : place + 11])
        response = responses.read()
        assert scored(response)
        assert response.headers[HEADER] == b"header"


@BOTH
def test_a_chunked_body_that_is_too_long_is_read_and_the_connection_stays(live: Live, path: dict[str, str]):
    length = live.settings.max_body_bytes + 1
    with connected(live) as (connection, responses):
        connection.sendall(message(b"", **path, Content_Length="", Transfer_Encoding="chunked"))
        connection.sendall(b"%x\r\n%b\r\n" % (length, b" " * length))
        assert responses.read().status == 413
        connection.sendall(b"5\r\nabcde\r\n0\r\n\r\n" + message(**path))
        assert scored(responses.read())


@BOTH
def test_who_closes_its_side_after_a_request_gets_the_answer(live: Live, path: dict[str, str]):
    with connected(live) as (connection, responses):
        connection.sendall(message(**path) * 3)
        connection.shutdown(socket.SHUT_WR)
        assert all(scored(responses.read()) for _ in range(3))
        assert responses.at_end()
    with connected(live) as (connection, responses):
        connection.sendall(message(**path)[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert responses.at_end()


@BOTH
@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"Host": ""}, 400, "it has no Host headers"),
        ({"Host": "x\r\nHost: y"}, 400, "it has 2 Host headers"),
        ({"Content_Length": "1\r\nContent-Length: 2"}, 400, "Content-Length"),
        ({"Transfer_Encoding": "chunked"}, 400, "Transfer-Encoding"),
        ({"Bad Name": "1"}, 400, "header"),
        ({"X_Long": "x" * 40_000}, 431, "longer than 32768 bytes"),
        ({"version": "2.0"}, 505, "does not speak HTTP/2.0"),
        ({"method": "CONNECT", "target": "a:1"}, 501, "no CONNECT"),
        ({"target": "/ /"}, 400, "HTTP/1.1"),
    ],
)
def test_what_is_no_request_is_a_problem_with_an_id_and_ends_the_connection(
    live: Live, path: dict[str, str], change: dict[str, str], status: int, reason: str
):
    for before in (0, 1):
        with connected(live) as (connection, responses):
            for _ in range(before):
                connection.sendall(message(**path))
                assert scored(responses.read())
            connection.sendall(message(**path, **change))
            response = responses.read()
            problem = json.loads(response.body)
            assert (response.status, problem["status"], response.headers[b"content-type"]) == (status, status, PROBLEM)
            assert reason in problem["detail"]
            assert problem["request_id"].encode() == response.headers[HEADER]
            assert response.headers[b"connection"] == b"close"
            assert responses.at_end()


def test_what_is_no_http_at_all_is_told_so(live: Live):
    for given in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        with connected(live) as (connection, responses):
            connection.sendall(given)
            assert responses.read().status == 400
            assert responses.at_end()


@BOTH
def test_answers_that_are_under_way_come_before_the_end(live: Live, path: dict[str, str]):
    with connected(live) as (connection, responses):
        connection.sendall(message(**path) + b"nonsense\r\n\r\n")
        response = responses.read()
        assert scored(response)
        assert response.headers[b"connection"] == b"close"
        assert responses.at_end()


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/metrics", "/v1/models", "/docs", "/openapi.json"])
def test_head_is_get_without_its_body(live: Live, target: str):
    get, head = live.client.get(target), live.client.head(target)
    assert (get.status_code, head.status_code, head.content) == (200, 200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    with connected(live) as (connection, responses):
        connection.sendall(f"HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + message())
        assert responses.read("HEAD").status == 200
        assert scored(responses.read())


@pytest.mark.parametrize(
    ("change", "direct"),
    [
        ({}, True),
        ({"target": PREDICT + "?trace=1"}, True),
        ({"Content_Type": "application/json; charset=utf-8"}, True),
        ({"Content_Type": "Application/JSON;charset=UTF-8"}, True),
        ({"version": "1.0"}, True),
        ({"Connection": "close"}, True),
        ({"Content_Type": "application/json; charset=latin-1"}, False),
        ({"X_Twice": "1\r\nX-Twice: 2"}, False),
    ],
)
def test_the_path_of_a_request_is_counted(live: Live, shortcuts: list[str], change: dict[str, str], direct: bool):
    sample = f'skewless_http_requests_total{{path="{"direct" if direct else "asgi"}"}}'
    before = live.metric(sample)
    with connected(live) as (connection, responses):
        connection.sendall(message(**change))
        responses.read()
    # To ask for the metrics is a request through ASGI itself.
    assert live.metric(sample) - before == (1 if direct else 2)
    assert len(shortcuts) == int(direct)
