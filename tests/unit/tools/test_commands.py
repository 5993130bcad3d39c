from pathlib import Path

import pytest

from tools.commands import test as test_command
from tools.commands import up
from tools.commands.test import Count, Failure, Suite

JUNIT = '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"/></testsuites>'


def test_results_are_counted_from_the_junit_file(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    file.write_text(JUNIT)
    assert test_command.count(file) == Count(passed=2, failed=2, skipped=1)


def test_a_suite_without_results_counts_as_a_failure(tmp_path: Path) -> None:
    assert test_command.count(tmp_path / "unit.xml") == Count(0, 1)


def test_a_suite_that_ran_nothing_counts_as_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    file.write_text('<testsuites><testsuite tests="0" failures="0" errors="0" skipped="0"/></testsuites>')
    assert test_command.count(file) == Count(0, 1)


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


def test_the_tests_that_failed_are_named_with_place_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    file.write_text(FAILURES)
    assert test_command.failures(file) == [
        Failure("tests.unit.test_a.TestB::test_sum[1]", "tests/unit/test_a.py:23: assert 6 == 7"),
        Failure("tests.unit.test_c", "ModuleNotFoundError: No module named 'gone'"),
    ]


def test_without_results_no_test_is_named(tmp_path: Path) -> None:
    assert test_command.failures(tmp_path / "unit.xml") == []


@pytest.mark.parametrize(
    ("said", "summary"),
    [
        ("Resources:\n    + 3 to create\n\nUpdating\nResources:\n    + 3 created\n\nDuration: 5s\n", "+ 3 created"),
        ("Resources:\n    27 unchanged\n\nDuration: 2s\n", "27 unchanged"),
        ("nothing that is known", "done"),
    ],
)
def test_the_engines_last_count_is_the_summary(said: str, summary: str) -> None:
    assert up._changes(said.splitlines()) == summary


def test_the_reason_of_skipped_tests_is_told_once() -> None:
    said = "SKIPPED [2] tests/vps/a.py:3: no: root\nSKIPPED [1] tests/vps/b.py:1: no: root\n3 skipped in 1 s"
    assert test_command.reasons(said) == ["no: root"]


def test_a_suite_of_one_environment_leaves_the_others_out() -> None:
    images = {"python": "p", "node": "n", "bash": "b"}
    suite = Suite(("sandbox",), ("python",))
    assert suite.images(images) == {"python": "p"}
    assert suite.selection(images) == ("-k", "not [node] and not [bash]")


def test_a_suite_of_all_environments_leaves_none_out() -> None:
    suite = Suite(("sandbox",))
    assert (suite.images({"bash": "b"}), suite.selection(["bash"])) == ({"bash": "b"}, ())
