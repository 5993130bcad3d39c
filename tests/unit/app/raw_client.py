"""Clients that write bytes on a socket: what no HTTP or WebSocket library would send, or fail to read."""

import base64
import socket
import struct
from http import HTTPStatus

TEXT, BINARY, CLOSE, PING, CONTINUATION = 1, 2, 8, 9, 0
_STALLED_SECONDS = 2.0


def connected(port: int) -> socket.socket:
    """A connection to this port of 127.0.0.1."""
    return socket.create_connection(("127.0.0.1", port), timeout=_STALLED_SECONDS)


def post(path: str, body: bytes, *lines: str, length: int | None = None) -> bytes:
    """A POST request with a JSON body. `lines` are more header lines; `length` replaces the body's own length."""
    head = [
        f"POST {path} HTTP/1.1",
        "Host: api",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def opened(port: int, *lines: str) -> socket.socket:
    """A WebSocket at /execute/stream that offers compression. `lines` are more header lines of the request."""
    connection = connected(port)
    head = [
        "GET /execute/stream HTTP/1.1",
        "Host: api",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        "Sec-WebSocket-Extensions: permessage-deflate",
        *lines,
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode())
    assert head_of(connection).split()[1] == str(HTTPStatus.SWITCHING_PROTOCOLS.value).encode()
    return connection


def head_of(connection: socket.socket) -> bytes:
    """The status line and the headers of an answer."""
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(1)
        assert received, f"the connection was closed after {head!r}"
        head += received
    return head


def frame(opcode: int, data: bytes = b"", *, last: bool = True, compressed: bool = False) -> bytes:
    """A client's WebSocket frame, masked with zeros."""
    size = len(data)
    first = bytes([(0x80 if last else 0) | (0x40 if compressed else 0) | opcode])
    if size < 126:
        return first + bytes([0x80 | size]) + bytes(4) + data
    return first + bytes([0x80 | 126]) + struct.pack("!H", size) + bytes(4) + data


def flood(connection: socket.socket, data: bytes, times: int) -> bool:
    """Send this so many times and read nothing. False when the other side closed the connection or stopped reading."""
    try:
        for _ in range(times):
            connection.sendall(data)
    except OSError:  # TimeoutError is a subclass.
        return False
    return True
