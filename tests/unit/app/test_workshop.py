"""Which executions a sandbox that waits can run."""

from pathlib import Path

import pytest

from app.environments import ENVIRONMENTS
from app.executor.workshop import OciWorkshop, Pattern
from app.profile import FLOOR
from app.runtimes import RUNTIMES
from app.wire.protocol import Execution, File, Terminal


@pytest.fixture(params=RUNTIMES)
def workshop(request: pytest.FixtureRequest) -> OciWorkshop:
    return OciWorkshop(
        Pattern(FLOOR, {name: Path("/roots", name) for name in ENVIRONMENTS}, request.param, apparmor=False)
    )


def files(*names: str) -> tuple[File, ...]:
    return tuple(File(name=name, content="1") for name in names)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_code_without_arguments_fits(workshop: OciWorkshop, environment: str) -> None:
    assert workshop.fits(Execution(environment=environment, code=ENVIRONMENTS[environment].hello, stdin="x"))
    main = ENVIRONMENTS[environment].main
    assert workshop.fits(Execution(environment=environment, files=files("a", main, f"{main}.b"), main=main))


@pytest.mark.parametrize(
    "execution",
    [
        Execution(environment="python", code="1", args=("",)),
        Execution(environment="python", code="1", merge=True),
        Execution(environment="python", code="1", terminal=Terminal(columns=80, rows=24)),
        Execution(environment="python", files=files("other.py")),
        Execution(environment="python", files=files("main.py", "other.py"), main="other.py"),
        Execution(environment="python", files=files("folder/main.py")),
        Execution(environment="node", files=files("main.mjs")),
        Execution(environment="python", code="# coding: latin-1\n1"),
        Execution(environment="python-data", code="# coding: utf8\n1"),
        Execution(environment="typescript", code="1"),
        *(
            Execution(environment="python-data", files=files("main.py", name))
            for name in (
                "numpy.py",
                "numpy/__init__.py",
                "six.pyc",
                "_x.cpython-313-x86_64-linux-gnu.so",
                "matplotlibrc",
            )
        ),
    ],
)
def test_what_an_interpreter_cannot_wait_for_does_not_fit(workshop: OciWorkshop, execution: Execution) -> None:
    assert not workshop.fits(execution)


def test_files_that_nothing_imports_fit(workshop: OciWorkshop) -> None:
    assert workshop.fits(Execution(environment="python-data", files=files("main.py", "data.csv", "py")))
    assert workshop.fits(Execution(environment="python", files=files("main.py", "numpy.py")))


def test_a_comment_about_encodings_fits_where_it_means_nothing(workshop: OciWorkshop) -> None:
    assert workshop.fits(Execution(environment="bash", code="# coding: latin-1\necho"))
