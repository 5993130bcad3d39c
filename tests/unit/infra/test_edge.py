"""The password line that the edge checks against."""

import bcrypt

from infra.edge import password_line, url
from infra.settings import Edge, Tls


def test_the_line_is_a_bcrypt_hash_of_the_password_and_stable() -> None:
    line = password_line("correct horse battery staple")
    user, hashed = line.strip().split(":")
    assert user == "admin"
    assert bcrypt.checkpw(b"correct horse battery staple", hashed.encode())
    assert line == password_line("correct horse battery staple")
    assert line != password_line("another")


def test_a_schemes_own_port_is_left_out_of_urls() -> None:
    assert url(Edge(http_port=8000), "localhost") == "http://localhost:8000"
    assert url(Edge(http_port=80), "example.com") == "http://example.com"
    assert url(Edge(http_port=80, tls=Tls(email="a@example.com")), "example.com") == "https://example.com"
