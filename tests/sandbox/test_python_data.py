"""python-data: what is imported ahead changes no program, and plt.show() gives pictures back."""

import base64
import json
from typing import Any

import pytest

from tests.sandbox.processes import Platform, output_json

PLOT = """
import json, sys
loaded = "pandas" in vars(sys)["mod" "ules"]
import numpy, pandas
import matplotlib.pyplot as plt
table = pandas.DataFrame({"x": numpy.arange(5)})
plt.plot(table.x, table.x ** 2)
plt.savefig("/tmp/results/plot.png")
print(json.dumps([loaded, int(table.x.sum())]))
"""
SHOW = (
    "import matplotlib.pyplot as plt\nfor n in range({0}):\n    plt.plot([n])\n    plt.show()\nprint(plt.get_fignums())"
)


def pictures(answer: dict[str, Any]) -> list[str]:
    """The names of the files of an answer, which are all PNG images."""
    assert all(base64.b64decode(file["content"]).startswith(b"\x89PNG\r\n\x1a\n") for file in answer["files"])
    return [file["name"] for file in answer["files"]]


def run_with(platform: Platform, code: str, name: str, content: str) -> dict[str, Any]:
    """The result of code that has another file beside it."""
    files = [{"name": "main.py", "content": code}, {"name": name, "content": content}]
    return platform.run("python-data", files=files)


def test_data_packages_are_installed_and_preloaded(platform: Platform) -> None:
    answer = platform.run("python-data", PLOT, results=["plot.png"])
    assert output_json(answer) == [True, 10]
    assert (pictures(answer), answer["stderr"]) == (["plot.png"], "")


@pytest.mark.parametrize("args", [[], ["made to order"]], ids=["waiting", "cold"])
@pytest.mark.parametrize("results", [{}, {"results": ["*"]}, {"results": ["nothing"]}], ids=str)
def test_show_gives_its_picture_back(platform: Platform, args: list[str], results: dict[str, list[str]]) -> None:
    answer = platform.run("python-data", SHOW.format(2), args=args, **results)
    assert (answer["stdout"], answer["stderr"], answer["status"]) == ("[]\n", "", "success")
    assert pictures(answer) == ["show-1.png", "show-2.png"]


def test_shown_pictures_are_bounded_in_number(platform: Platform) -> None:
    answer = platform.run("python-data", SHOW.format(10))
    assert pictures(answer) == [f"show-{number}.png" for number in range(1, 9)]
    assert answer["stderr"].splitlines() == [
        "/tmp/main.py:4: UserWarning: 8 pictures were shown: this one is not kept",
        "  plt.show()",
    ]


def test_show_and_savefig_beside_each_other(platform: Platform) -> None:
    code = """
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([1, 2])
figure.show()
plt.savefig("/tmp/results/saved.svg")
plt.close()
plt.show()
plt.figure(); plt.figure()
plt.show(block=True)
"""
    answer = platform.run("python-data", code, results=["*.svg"])
    assert (answer["stderr"], answer["warnings"]) == ("", [])
    assert [file["name"] for file in answer["files"]] == ["saved.svg", "show-1.png", "show-2.png", "show-3.png"]


def test_another_backend_is_the_programs_choice(platform: Platform) -> None:
    code = "import matplotlib\nmatplotlib.use('svg')\nimport matplotlib.pyplot as plt\nplt.plot([1]); plt.show()\n"
    answer = platform.run("python-data", code)
    assert (answer["status"], answer["files"]) == ("success", [])


def test_what_a_program_could_see_of_the_preloading_is_as_in_a_sandbox_made_to_order(platform: Platform) -> None:
    code = """
import os, sys
print([name for name in ("numpy", "pandas", "matplotlib") if name in sys.modules])
os.environ["MPLBACKEND"] = "pdf"
import matplotlib.pyplot as plt
print(plt.get_backend())
"""
    assert platform.run("python-data", code)["stdout"] == "[]\npdf\n"


@pytest.mark.parametrize("module", ["{}.py", "{}/__init__.py"])
@pytest.mark.parametrize("name", ["numpy", "pandas", "decimal", "matplotlib"])
def test_a_module_of_the_visitors_comes_before_one_that_is_imported_ahead(
    platform: Platform, name: str, module: str
) -> None:
    answer = run_with(platform, f"import {name}\nprint({name}.WHOSE)", module.format(name), "WHOSE = 'mine'")
    assert (answer["stdout"], answer["stderr"]) == ("mine\n", "")


@pytest.mark.parametrize("name", [".matplotlib", ".matplotlib/x", ".config", "matplotlib", "results.py", ".cache"])
def test_a_file_can_have_any_name(platform: Platform, name: str) -> None:
    answer = run_with(platform, SHOW.format(1), name, "x = 1")
    assert (answer["stdout"], answer["stderr"], pictures(answer)) == ("[]\n", "", ["show-1.png"])


def test_a_matplotlibrc_of_the_visitors_is_read(platform: Platform) -> None:
    code = "import matplotlib\nprint(matplotlib.rcParams['lines.linewidth'])"
    answer = run_with(platform, code, "matplotlibrc", "lines.linewidth: 7")
    assert (answer["stdout"], answer["stderr"]) == ("7.0\n", "")


def test_variables_are_those_of_the_environment_and_reach_its_children(platform: Platform) -> None:
    code = (
        "import json, os, subprocess\nprint(json.dumps(sorted(os.environ)), subprocess.check_output(['env']).decode())"
    )
    stdout = platform.run("python-data", code)["stdout"]
    names = ["HOME", "LANG", "MPLBACKEND", "MPLCONFIGDIR", "OPENBLAS_NUM_THREADS", "PATH"]
    assert json.loads(stdout.partition("]")[0] + "]") == names
    assert "OPENBLAS_NUM_THREADS=1" in stdout.partition("]")[2]
