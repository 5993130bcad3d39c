"""The health check as a process under `python -I -S`."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

SCRIPT = Path(__file__).parents[3] / "app/process/healthcheck.py"


class Handler(BaseHTTPRequestHandler):
    """Answers /health with 200 and everything else with 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()
        self.wfile.write(b"the engine is away")

    def log_message(self, *_: object) -> None:
        return None


class UnixHandler(Handler):
    """A Unix socket's peer has no address."""

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def check(target: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(SCRIPT), target]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_200_over_tcp_is_healthy(port: int) -> None:
    assert check(f"http://127.0.0.1:{port}/health").returncode == 0


def test_another_status_is_unhealthy_with_the_reason(port: int) -> None:
    done = check(f"http://127.0.0.1:{port}/other")
    assert done.returncode == 1
    assert "503" in done.stderr
    assert "the engine is away" in done.stderr


def test_200_over_a_unix_socket_is_healthy(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with UnixStreamServer(str(path), UnixHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        done = check(f"unix:{path}")
        server.shutdown()
    assert done.returncode == 0


@pytest.mark.parametrize("target", ["unix:/nonexistent/s.sock", "http://127.0.0.1:1/", "ftp://x/", "http://host/"])
def test_no_answer_is_unhealthy_with_one_line(target: str) -> None:
    done = check(target)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
