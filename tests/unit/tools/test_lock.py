import os
import subprocess
from pathlib import Path

import pytest

from tools.console.steps import StepFailed
from tools.stack import lock


def test_a_second_command_fails_and_names_the_holder_of_the_lock(tmp_path: Path) -> None:
    with (
        lock.exclusive(tmp_path, "make up"),
        pytest.raises(StepFailed, match=rf"make up \(process {os.getpid()}\)"),
        lock.exclusive(tmp_path, "make down"),
    ):
        pytest.fail("two held it")


def test_the_lock_is_released_at_the_end_of_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with lock.exclusive(tmp_path, "make up"):
            pass


def test_the_lock_lasts_while_a_child_process_that_inherited_it_runs(tmp_path: Path) -> None:
    with lock.exclusive(tmp_path, "make up") as held:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(held,))
    try:
        with pytest.raises(StepFailed), lock.exclusive(tmp_path, "make up"):
            pytest.fail("the child's work was not waited for")
    finally:
        child.communicate()
    with lock.exclusive(tmp_path, "make up"):
        pass


def test_the_folder_of_the_lock_is_private(tmp_path: Path) -> None:
    with lock.exclusive(tmp_path / "home", "make up"):
        assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
