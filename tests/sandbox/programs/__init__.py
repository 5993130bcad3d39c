"""Programs whose end shows whether an interpreter is the plain one."""

from collections.abc import Mapping
from types import MappingProxyType

from tests.sandbox.programs.bash import BASH
from tests.sandbox.programs.node import NODE
from tests.sandbox.programs.others import OTHERS
from tests.sandbox.programs.program import Program
from tests.sandbox.programs.python_ends import ENDS, FILES
from tests.sandbox.programs.python_frames import FRAMES
from tests.sandbox.programs.python_modules import MODULES, SOURCES
from tests.sandbox.programs.typescript import TYPESCRIPT

PROGRAMS: Mapping[str, Program] = MappingProxyType(
    {**FILES, **ENDS, **FRAMES, **MODULES, **SOURCES, **NODE, **TYPESCRIPT, **BASH, **OTHERS}
)
"""By what each is about."""
