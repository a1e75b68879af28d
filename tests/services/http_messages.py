"""HTTP responses read from a raw socket, each to the end of its message."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import h11


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One message; header names in lower case. The body of an interim response (1xx) is empty."""

    status: int
    reason: bytes
    headers: dict[bytes, bytes]
    body: bytes = b""


def bytes_unread_by_server(port: int) -> int:
    """Bytes that clients have sent to a port of the IPv4 loopback and that the server has not read yet (Linux)."""
    loopback = int.from_bytes(socket.inet_aton("127.0.0.1"), sys.byteorder)
    local = f"{loopback:08X}:{port:04X}"
    established = "01"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[4].partition(":")[2], 16) for line in lines if line[1] == local and line[3] == established)


class ResponseReader:
    """The responses on one connection, in their order; what was received beyond a message belongs to the next one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def read(self, method: str = "POST") -> HttpResponse:
        """The next response, interim ones included, to a request with this method.

        Raises EOFError if the server closes the connection before the message ends.
        """
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "tests")]))
        parser.send(h11.EndOfMessage())
        if self._received:  # no bytes at all would mean the end of the stream
            parser.receive_data(self._received)
        head = self._event(parser)
        assert isinstance(head, h11.Response | h11.InformationalResponse)
        body = b""
        if isinstance(head, h11.Response):
            while isinstance(event := self._event(parser), h11.Data):
                body += event.data
            assert isinstance(event, h11.EndOfMessage)
        self._received = bytes(parser.trailing_data[0])
        return HttpResponse(head.status_code, bytes(head.reason), dict(head.headers), body)

    def at_end(self) -> bool:
        """Whether the server has closed the connection and nothing is left to read; waits for one or the other."""
        if not self._received:
            self._received = self._connection.recv(65_536)
        return not self._received

    def _event(self, parser: h11.Connection) -> object:
        while (event := parser.next_event()) is h11.NEED_DATA:
            data = self._connection.recv(65_536)
            if not data and not parser.trailing_data[0] and parser.their_state is not h11.SEND_BODY:
                raise EOFError("the server closed the connection instead of responding")
            parser.receive_data(data)
        return event
