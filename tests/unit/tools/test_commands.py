import argparse
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tools.__main__ import COMMANDS
from tools.commands import test
from tools.commands.generate import lock_files
from tools.console import junit
from tools.console.junit import Count, Failure
from tools.console.steps import EXIT_FAILED, Runner, StepFailed
from tools.machine import process
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
<testcase classname="tests.unit.test_a" name="test_wait"><failure message="waited">def test_wait():
E   TimeoutError

tests/unit/wait.py:9: TimeoutError

The above exception was the direct cause of the following exception:

E   AssertionError: waited 20 s

tests/unit/test_a.py:31: AssertionError</failure></testcase>
<testcase classname="" name="tests.unit.test_c"><error message="collection failure">ImportError while importing
E   ModuleNotFoundError: No module named 'gone'</error></testcase>
<testcase classname="tests.unit.test_a" name="test_left"><skipped message="no need"/></testcase>
</testsuite></testsuites>"""


def test_failed_tests_are_listed_with_place_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    file.write_text(FAILURES)
    assert junit.read(file)[1] == [
        Failure("tests.unit.test_a.TestB::test_sum[1]", "tests/unit/test_a.py:23: assert 6 == 7"),
        Failure("tests.unit.test_a::test_wait", "tests/unit/test_a.py:31: AssertionError: waited 20 s"),
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


_ONLY_XDIST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p xdist"}


@pytest.fixture
def tests_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[int, str]]:
    """Runs the text of a test file as a suite. Returns the exit code and what is printed."""
    monkeypatch.setattr(process, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(text: str) -> tuple[int, str]:
        (tmp_path / "tests" / "some").mkdir(parents=True)
        (tmp_path / "tests" / "some" / "test_a.py").write_text(text)
        screen = io.StringIO()
        tests = test.Tests()
        suites = tests.suites({"some": test.Suite(["some"], at_once=0, variables=_ONLY_XDIST)})
        return tests.run(suites, Runner(Console(file=screen, width=100, highlight=False), tmp_path)), screen.getvalue()

    return run


RACE = """
import pathlib
def test_well(): pass
def test_race():
    seen = pathlib.Path("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""


def test_a_test_that_passes_when_run_again_is_told_as_unstable(tests_of: Callable[[str], tuple[int, str]]) -> None:
    code, said = tests_of(RACE)
    assert (code, "2 passed, 0 failed" in said) == (0, True)
    assert (
        "UNSTABLE, passed when run again: tests.some.test_a::test_race\n  tests/some/test_a.py:8: assert not " in said
    )


def test_a_test_that_fails_again_fails_the_suite(tests_of: Callable[[str], tuple[int, str]]) -> None:
    code, said = tests_of(RACE + "def test_broken(): assert 1 == 2")
    assert (code, "2 passed, 1 failed" in said) == (EXIT_FAILED, True)
    assert "FAILED tests.some.test_a::test_broken\n" in said
    assert "UNSTABLE, passed when run again: tests.some.test_a::test_race\n" in said


def test_more_than_two_failed_tests_are_not_run_again(tests_of: Callable[[str], tuple[int, str]]) -> None:
    code, said = tests_of(RACE + "def test_broken(): assert 1 == 2\ndef test_too(): assert 1 == 2")
    assert (code, "1 passed, 3 failed" in said, "UNSTABLE" in said) == (EXIT_FAILED, True, False)


def test_a_suite_of_one_environment_deselects_the_others() -> None:
    images = {"python": "p", "node": "n", "bash": "b"}
    suite = test.Suite(("sandbox",), ("python",))
    assert suite.images(images) == {"python": "p"}
    assert suite.selection(images) == ("-k", "not [node] and not [bash]")


def test_a_suite_of_all_environments_deselects_none() -> None:
    suite = test.Suite(("sandbox",))
    assert (suite.images({"bash": "b"}), suite.selection(["bash"])) == ({"bash": "b"}, ())


def test_a_suite_deselects_what_it_leaves_out() -> None:
    suite = test.Suite(("sandbox",), left_out={"sandbox/test_limits.py::test_memory_bomb": "it takes minutes"})
    assert suite.selection(["bash"]) == ("--deselect=tests/sandbox/test_limits.py::test_memory_bomb",)


@pytest.mark.parametrize(
    ("suite", "test"),
    [(suite, path) for suites in test.SUITES.values() for suite in suites.values() for path in suite.left_out],
)
def test_what_a_suite_leaves_out_is_a_test_of_its_paths(suite: test.Suite, test: str) -> None:
    path, _, name = test.partition("::")
    assert path.startswith(tuple(suite.paths))
    assert f"\ndef {name}(" in (ROOT / "tests" / path).read_text()


def chosen(*arguments: str) -> list[str]:
    parser = argparse.ArgumentParser()
    test.options(parser)
    return list(test.chosen(parser.parse_args(arguments)))


def test_suite_chooses_one_of_a_group() -> None:
    assert chosen("--vm") == list(test.SUITES["vm"])
    name = "the life of an emulated Debian 13"
    assert chosen("--vm", "--suite", name) == [name]
    assert chosen("--suite", "no parts") == ["no parts"]


def test_a_suite_that_the_group_lacks_is_refused_with_the_names_of_those_that_it_has() -> None:
    with pytest.raises(StepFailed, match="there is no suite 'a vault' here") as refused:
        chosen("--vm", "--suite", "a vault")
    assert all(f'"{name}"' in refused.value.fix for name in test.SUITES["vm"])


def test_the_life_of_an_emulated_server_leaves_out_the_same_tests_on_each_debian() -> None:
    lives = [suite for suite in test.SUITES["vm"].values() if suite.paths == ["vps"]]
    assert [suite.variables["VPS_TEST_HOST"] for suite in lives] == ["debian-12", "debian-13"]
    assert lives[0].left_out == lives[1].left_out


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


@pytest.mark.parametrize(
    "path", sorted({path for suites in test.SUITES.values() for suite in suites.values() for path in suite.paths})
)
def test_the_tests_of_the_suites_exist(path: str) -> None:
    file, _, name = path.partition("::")
    assert (ROOT / "tests" / file).exists()
    assert not name or f"\ndef {name}(" in (ROOT / "tests" / file).read_text()
