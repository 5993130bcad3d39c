"""Code that would end otherwise in an interpreter that waited for it gets a sandbox made to order.

For Python's encodings, the interpreter that runs the tests decides: each script runs as a plain file, and as a FIFO
that it waits for.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.environments import ENVIRONMENTS

PYTHON = [name for name, environment in ENVIRONMENTS.items() if environment.language == "python"]
Ended = tuple[int, bytes, bytes]


def plain(folder: Path, code: bytes) -> Ended:
    (folder / "main.py").write_bytes(code)
    ended = subprocess.run([sys.executable, "-ES", "main.py"], cwd=folder, capture_output=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def waiting(folder: Path, code: bytes) -> Ended:
    """A waiting interpreter finds a plain file in the FIFO's place once its code has arrived."""
    script = folder / "main.py"
    script.unlink(missing_ok=True)
    os.mkfifo(script)
    with subprocess.Popen(
        [sys.executable, "-ES", "main.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        with script.open("wb") as fifo:
            (folder / "beside").write_bytes(code)
            (folder / "beside").rename(script)
            fifo.write(code)
        stdout, stderr = process.communicate(timeout=30)
    return process.returncode, stdout, stderr


def waits(environment: str, code: bytes, *others: str) -> bool:
    found = ENVIRONMENTS[environment]
    return found.can_wait_for({found.main: code, **dict.fromkeys(others, b"1")})


REREAD = [
    b"# coding: utf8\nprint('\xc3\xa9')",
    b"# coding: u8\nprint('x')",
    b"# coding: latin-1\nprint('\xe9')",
    b"\n# coding: latin-1\nprint('\xe9')",
    b"#\r\n# coding: latin-1\r\nprint('\xe9')",
    b"#\r# coding: latin-1\rprint('\xe9')",
    b"# vim: set fileencoding=cp1252 :\nprint('\x80')",
    b"#!/usr/bin/python3\n# -*- coding: ascii -*-\nprint('a')",
    b"\x0c# coding: latin-1\nprint('\xe9')",
    b"#coding:\tlatin1\nprint('\xe9')",
    b"# Coding: latin-1\n# coding: latin-1\n# coding: utf-8\nprint('\xe9')",
    b"# coding: latin-1\n# coding: utf-8\nprint('\xe9')",
]
NOT_REREAD = [
    b"print('\xc3\xa9')",
    b"# -*- coding: utf-8 -*-\nprint('\xc3\xa9')",
    b"# coding=utf-8; x\nprint(1)",
    b"#!/usr/bin/python3\n# coding: UTF_8\nprint('\xc3\xa9')",
    b"\xef\xbb\xbfprint('x')",
    b"\xef\xbb\xbf# coding: latin-1\nprint('x')",
    b"print('\xe9')",
    b"\n\n# coding: latin-1\nprint('\xe9')",
    b"# coding : latin-1\nprint('\xe9')",
    b"x=1\r# coding: latin-1\rprint('\xe9')",
    b"print('coding: latin-1')",
    b"",
]
EITHER = [
    b"# coding: nonsense\nprint(1)",
    b"# coding: utf-8-sig\nprint('\xc3\xa9')",
    b"# coding: utf-8\xe9\nprint(1)",
    b"'''\n# coding: latin-1'''\nprint('\xe9')",
    b"\\\n# coding: latin-1\nprint('\xe9')",
]
"""Both ways end alike, and they are rare: it doesn't matter which one they go."""


@pytest.mark.parametrize("code", [*REREAD, *NOT_REREAD, *EITHER])
def test_a_script_that_ends_otherwise_from_a_fifo_gets_a_sandbox_made_to_order(tmp_path: Path, code: bytes) -> None:
    alike = plain(tmp_path, code) == waiting(tmp_path, code)
    for environment in PYTHON:
        assert alike or not waits(environment, code)


@pytest.mark.parametrize("code", REREAD)
def test_a_script_in_another_encoding_is_recognised(code: bytes) -> None:
    assert not any(waits(environment, code) for environment in PYTHON)


@pytest.mark.parametrize("code", NOT_REREAD)
def test_other_scripts_go_to_a_sandbox_that_waits(code: bytes) -> None:
    assert all(waits(environment, code) for environment in ENVIRONMENTS)


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        *((name, b"1\0") for name in ENVIRONMENTS),
        *(("node", code) for code in (b"process.uptime()", b"new Event('a').timeStamp", b"performance['now']()")),
        *(("bash", code) for code in (b"echo $SECONDS", b"printf '%(%T)T' -2", b'echo x >> "$0"', b"echo x>main.sh")),
        ("ruby", b"DATA.rewind"),
        *(("python-data", code) for code in (b"'numpy' in sys.modules", b"os.environ['MPLBACKEND'] = 'svg'")),
    ],
)
def test_code_that_could_tell_that_its_interpreter_waited_gets_a_sandbox_made_to_order(
    environment: str, code: bytes
) -> None:
    assert not waits(environment, code)


@pytest.mark.parametrize("code", [b"awk '{ print $0 }'", b'echo "usage: $0"', b"echo $EPOCHSECONDS >$1"])
def test_a_script_that_names_itself_goes_to_a_sandbox_that_waits(code: bytes) -> None:
    assert waits("bash", code)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_files_that_an_interpreter_reads_as_it_starts_get_a_sandbox_made_to_order(environment: str) -> None:
    assert waits(environment, b"1", "data.csv", "folder/.hidden")
    assert not waits(environment, b"1", ".config/settings")
    assert waits(environment, b"1", "package.json") is (environment != "node")
    assert waits(environment, b"1", "numpy.py") is (environment != "python-data")
    assert waits(environment, b"1", "numpy/__init__.py") is (environment != "python-data")
