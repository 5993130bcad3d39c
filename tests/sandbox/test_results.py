"""Files that code leaves in its folder `results` are given back, and nothing else is."""

import pytest

from tests.sandbox.processes import Platform

RESULTS = """
import os
os.chdir("/tmp/results")
open("plot.png", "wb").write(b"\\x89PNG")
os.symlink("/etc/passwd", "link")
os.link("plot.png", "second"); os.link("/tmp/main.py", "main")
os.mkdir("folder")
os.mkfifo("pipe")
open("unasked", "w").write("x")
"""


def test_only_plain_files_are_results(platform: Platform) -> None:
    asked = ["plot.png", "link", "second", "main", "folder", "pipe", "missing"]
    answer = platform.run("python", RESULTS.replace('os.link("plot.png", "second"); ', ""), results=asked)
    assert answer["status"] == "success"
    assert answer["files"] == [{"name": "plot.png", "content": "iVBORw==", "encoding": "base64", "size": 4}]
    assert sorted(answer["warnings"]) == [
        "results: folder: It is not a plain file.",
        "results: link: It is not a plain file.",
        "results: main: It has other names.",
        "results: missing: There is no such file.",
        "results: pipe: It is not a plain file.",
        "results: second: There is no such file.",
    ]


@pytest.mark.parametrize("trick", ["os.symlink('/etc', 'results')", "os.symlink('/proc/1', 'results')", "pass"])
def test_a_results_folder_that_was_replaced_or_removed(platform: Platform, trick: str) -> None:
    answer = platform.run("python", f"import os\nos.rmdir('results')\n{trick}", results=["*"])
    assert (answer["status"], answer["files"]) == ("success", [])
    assert answer["warnings"][0].startswith("results: the folder can't be read")


def test_results_with_hostile_names(platform: Platform) -> None:
    code = """
import os
os.chdir("/tmp/results")
for name in (b"\\xff", b"\\n", b"*", b"a" * 255):
    open(name, "w").close()
"""
    names = [file["name"] for file in platform.run("python", code, results=["*"])["files"]]
    assert sorted(names) == sorted(["\ufffd", "\n", "*", "a" * 255])
