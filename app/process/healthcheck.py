"""A GET for container health checks: exit code 0 when the answer is 200, else 1 with the reason on stderr.

    python -I -S healthcheck.py http://127.0.0.1:8000/health
    python -I -S healthcheck.py unix:/run/executor/executor.sock

On a Unix socket the path is /health. Only `socket` and `sys` are imported: the check starts every few seconds in every
service, and importing an HTTP library would take several times as long as the check.
"""

import socket
import sys

TIMEOUT_SECONDS = 5.0


def connect(target: str) -> tuple[socket.socket, str]:
    """A connection to the target, and the path to request."""
    scheme, _, rest = target.partition(":")
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(rest)
        return connection, "/health"
    if scheme != "http":
        raise ValueError("the target must begin with http:// or unix:")
    authority, _, path = rest.removeprefix("//").partition("/")
    host, _, port = authority.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS), f"/{path}"


def check(target: str) -> str | None:
    """None when the target answers 200, else the reason."""
    try:
        connection, path = connect(target)
        with connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: healthcheck\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except (OSError, ValueError) as error:
        return str(error)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, _, _ = head.partition(b"\r\n")
    if status.split()[1:2] == [b"200"]:
        return None
    return f"{status.decode(errors='replace')}: {body.decode(errors='replace')}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: healthcheck.py http://host:port/path | unix:/path/of.sock")
    sys.exit(check(sys.argv[1]))
