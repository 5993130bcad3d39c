import re
from pathlib import Path

import pytest

from tools.__main__ import COMMANDS
from tools.commands.generate import lock_files
from tools.commands.test import SUITES, Suite
from tools.console import junit
from tools.console.junit import Count, Failure
from tools.paths import ROOT
from tools.stack import pulumi_stack

JUNIT = '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"/></testsuites>'


def test_results_are_counted_from_the_junit_file(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    file.write_text(JUNIT)
    assert junit.read(file) == (Count(passed=2, failed=2, skipped=1), [])


def test_a_suite_without_results_counts_as_a_failure(tmp_path: Path) -> None:
    assert junit.read(tmp_path / "unit.xml") == (Count(0, 1), [])


def test_a_suite_without_tests_counts_as_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    file.write_text('<testsuites><testsuite tests="0" failures="0" errors="0" skipped="0"/></testsuites>')
    assert junit.read(file) == (Count(0, 1), [])


FAILURES = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_well"/>
<testcase classname="tests.unit.test_a.TestB" name="test_sum[1]"><failure message="assert 6 == 7">def test_sum():
&gt;       assert sum(NUMBERS) == 7
E       assert 6 == 7
E        +  where 6 = sum([1, 2, 3])

tests/unit/test_a.py:23: AssertionError</failure></testcase>
<testcase classname="" name="tests.unit.test_c"><error message="collection failure">ImportError while importing
E   ModuleNotFoundError: No module named 'gone'</error></testcase>
<testcase classname="tests.unit.test_a" name="test_left"><skipped message="no need"/></testcase>
</testsuite></testsuites>"""


def test_failed_tests_are_listed_with_place_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    file.write_text(FAILURES)
    assert junit.read(file)[1] == [
        Failure("tests.unit.test_a.TestB::test_sum[1]", "tests/unit/test_a.py:23: assert 6 == 7"),
        Failure("tests.unit.test_c", "ModuleNotFoundError: No module named 'gone'"),
    ]


@pytest.mark.parametrize(
    ("said", "summary"),
    [
        ("Resources:\n    + 3 to create\n\nUpdating\nResources:\n    + 3 created\n\nDuration: 5s\n", "+ 3 created"),
        ("Resources:\n    27 unchanged\n\nDuration: 2s\n", "27 unchanged"),
        ("nothing that is known", "done"),
    ],
)
def test_pulumis_last_count_of_changes_is_the_summary(said: str, summary: str) -> None:
    assert pulumi_stack.changes(said) == summary


def test_each_reason_for_skipping_is_listed_once() -> None:
    said = "SKIPPED [2] tests/vps/a.py:3: no: root\nSKIPPED [1] tests/vps/b.py:1: no: root\n3 skipped in 1 s"
    assert junit.reasons(said) == ["no: root"]


def test_a_suite_of_one_environment_deselects_the_others() -> None:
    images = {"python": "p", "node": "n", "bash": "b"}
    suite = Suite(("sandbox",), ("python",))
    assert suite.images(images) == {"python": "p"}
    assert suite.selection(images) == ("-k", "not [node] and not [bash]")


def test_a_suite_of_all_environments_deselects_none() -> None:
    suite = Suite(("sandbox",))
    assert (suite.images({"bash": "b"}), suite.selection(["bash"])) == ({"bash": "b"}, ())


def test_a_suite_deselects_what_it_leaves_out() -> None:
    suite = Suite(("sandbox",), left_out={"sandbox/test_limits.py::test_memory_bomb": "it takes minutes"})
    assert suite.selection(["bash"]) == ("--deselect=tests/sandbox/test_limits.py::test_memory_bomb",)


@pytest.mark.parametrize(
    ("suite", "test"),
    [(suite, test) for suites in SUITES.values() for suite in suites.values() for test in suite.left_out],
)
def test_what_a_suite_leaves_out_is_a_test_of_its_paths(suite: Suite, test: str) -> None:
    path, _, name = test.partition("::")
    assert path.startswith(tuple(suite.paths))
    assert f"\ndef {name}(" in (ROOT / "tests" / path).read_text()


def test_each_command_is_a_target_of_make_and_has_a_line_of_help() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) == {*(name.replace("_", "-") for name in COMMANDS), "help", "core"}


def pins(file: Path, operator: str) -> dict[str, tuple[int, ...]]:
    """The version of each package that stands behind an operator in a requirements file."""
    found = re.findall(rf"^([a-z][\w-]*){operator}(\d+(?:\.\d+)*)", file.read_text(), re.MULTILINE)
    return {name: tuple(map(int, version.split("."))) for name, version in found}


@pytest.mark.parametrize("lock", lock_files(), ids=lambda lock: lock.parent.name)
def test_a_lock_file_satisfies_its_requirements(lock: Path) -> None:
    wanted, locked = lock.with_suffix(".in"), pins(lock, "==")
    names = re.findall(r"^[a-z][\w-]*", wanted.read_text(), re.MULTILINE)
    assert set(names) <= set(locked), "run: make generate"
    assert pins(wanted, "==").items() <= locked.items()
    assert all(locked[name] >= least for name, least in pins(wanted, ">=").items())


def test_the_app_image_has_the_package_versions_that_are_tested() -> None:
    tested = pins(ROOT / "requirements.txt", "==")
    assert pins(ROOT / "images" / "app-base" / "requirements.txt", "==").items() <= tested.items()


def test_make_generate_runs_the_commands_that_the_lock_files_name() -> None:
    assert {(*command[:3], command[-1]) for command in lock_files().values()} == {
        ("uv", "pip", "compile", "requirements.in")
    }


@pytest.mark.parametrize("path", SUITES["parts"]["gVisor"].paths)
def test_the_tests_that_run_under_gvisor_exist(path: str) -> None:
    file, _, name = path.partition("::")
    assert (ROOT / "tests" / file).exists()
    assert not name or f"\ndef {name}(" in (ROOT / "tests" / file).read_text()
