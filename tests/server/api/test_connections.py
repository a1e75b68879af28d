"""The limits of a connection: how many there may be, and how long each may take to send, to read and to wait."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from skewless.server.api import connections
from tests.services.http_messages import ResponseReader, bytes_unread_by_server
from tests.services.predict_server import ROW, serving, settings_of
from tests.services.raw_requests import ASGI, BOTH, DIRECT, connected, message, scored
from tests.services.waiting import HANG_SECONDS, until

MOST_BYTES = 40_000_000
"""More than the buffers of both sides hold."""
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@BOTH
def test_more_connections_than_the_limit_are_for_health_checks(state: Path, stored: str, path: dict[str, str]):
    with serving(settings_of(state, stored, max_connections=3)) as live, ExitStack() as open_ones:
        first = [open_ones.enter_context(connected(live)) for _ in range(3)]  # the client's own may be one of them
        for connection, responses in first[:2]:
            connection.sendall(message(**path))
            assert scored(responses.read())
        with connected(live) as (connection, responses):
            connection.sendall(HEALTH)
            assert responses.read("GET").status == 200
            connection.sendall(message(**path))
            refused = responses.read()
            assert (refused.status, refused.headers[b"retry-after"]) == (503, b"1")
            assert "raise SKEWLESS_MAX_CONNECTIONS" in json.loads(refused.body)["detail"]
            assert responses.at_end()
        connection, responses = first[0]
        connection.sendall(message(**path))
        assert scored(responses.read())


def test_beyond_what_is_kept_for_health_checks_connections_are_closed_at_once(state: Path, stored: str):
    with serving(settings_of(state, stored, max_connections=1)) as live, ExitStack() as open_ones:
        for _ in range(connections.SPARE + 1):
            open_ones.enter_context(connected(live))
        until(lambda: live.server.server_state.connections and len(_open(live)) > connections.SPARE)
        with connected(live) as (connection, responses):
            assert _closed(responses, connection)
        open_ones.close()
        live.client.close()
        until(lambda: not _open(live))
        with connected(live) as (connection, responses):
            connection.sendall(message())
            assert scored(responses.read())


@BOTH
def test_a_request_that_does_not_arrive_in_time_is_told_so(state: Path, stored: str, path: dict[str, str]):
    with serving(settings_of(state, stored, receive_timeout_s=0.1)) as live:
        whole = message(**path)
        for part in (whole[:3], whole[:60], whole[:-1]):
            for before in (b"", whole):
                with connected(live) as (connection, responses):
                    if before:
                        connection.sendall(before)
                        assert scored(responses.read())
                    connection.sendall(part)
                    response = responses.read()
                    assert response.status == 408
                    assert "within 0.1 s" in json.loads(response.body)["detail"]
                    assert responses.at_end()


@BOTH
def test_a_request_that_the_server_lets_wait_is_not_late(state: Path, stored: str, path: dict[str, str]):
    """The second is not read on while the first waits for Redis."""
    with (
        serving(settings_of(state, stored, receive_timeout_s=1)) as live,
        connected(live) as (connection, responses),
        Redis.from_url(stored) as redis,
    ):
        whole, counted = message(**path), 'skewless_http_requests_total{path="asgi"}'
        redis.client_pause(3_000)
        connection.sendall(whole + message(**ASGI)[:-1])
        asked = 1  # what asks for the metrics is counted too
        while live.metric(counted) < asked + (1 if path is DIRECT else 2):
            asked += 1
        connection.sendall(whole[-1:])
        assert scored(responses.read())
        assert scored(responses.read())


@BOTH
def test_a_connection_without_requests_is_closed(state: Path, stored: str, path: dict[str, str]):
    with serving(settings_of(state, stored, idle_timeout_s=0.2)) as live:
        with connected(live) as (_, responses):
            assert responses.at_end()
        with connected(live) as (connection, responses):
            connection.sendall(b"\r\n")  # may stand before a request
            assert responses.at_end()
        with connected(live) as (connection, responses):
            connection.sendall(message(**path))
            assert scored(responses.read())
            assert responses.at_end()


@BOTH
def test_who_reads_no_answers_is_not_read_from_and_gets_them_where_it_does(
    state: Path, stored: str, path: dict[str, str]
):
    with serving(settings_of(state, stored)) as live, connected(live) as (connection, responses):
        port = live.client.base_url.port
        assert port is not None
        whole = message(**path)
        connection.settimeout(0.5)
        sent = 0
        while taken := _taken(connection, whole[sent % len(whole) :] + whole * 200):
            sent += taken
            assert sent < MOST_BYTES, "the server reads on"
        until(lambda: bytes_unread_by_server(port) > 0)
        connection.settimeout(HANG_SECONDS)
        assert all(scored(responses.read()) for _ in range(1_000))


def test_who_reads_no_answers_for_long_is_closed(state: Path, stored: str):
    with serving(settings_of(state, stored, send_timeout_s=0.1)) as live, connected(live) as (connection, _):
        whole = message(b"", method="GET", target="/openapi.json") * 200  # long answers fill the buffers soon
        with pytest.raises(ConnectionError):
            connection.sendall(whole * 1_000)
        assert live.predict(ROW).status_code == 200


def test_open_connections_are_counted(state: Path, stored: str):
    with serving(settings_of(state, stored)) as live, connected(live), connected(live):
        until(lambda: live.metric("skewless_open_connections") == 3)


def _taken(connection: socket.socket, data: bytes) -> int:
    """How many bytes the connection takes; 0 if it takes none for some time."""
    try:
        return connection.send(data)
    except TimeoutError:
        return 0


def _open(live) -> set[object]:
    return live.server.config.loaded_app.connections.open


def _closed(responses: ResponseReader, connection: socket.socket) -> bool:
    try:
        return responses.at_end()
    except ConnectionResetError:
        return True
