"""What a program is: code, and what it is sent with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """Code of an environment, or files of which the first is the main one."""

    environment: str
    code: str | None = None
    files: tuple[tuple[str, str | bytes], ...] = ()
    stdin: str = ""
    args: tuple[str, ...] = ()
    results: bool = False


def python(code: str, *, results: bool = False, stdin: str = "") -> Program:
    """One file of Python."""
    return Program("python", code, stdin=stdin, results=results)


def node(code: str, *, stdin: str = "") -> Program:
    """One file of JavaScript."""
    return Program("node", code, stdin=stdin)


def typescript(code: str) -> Program:
    """One file of TypeScript."""
    return Program("typescript", code)


def bash(code: str, *, stdin: str = "", results: bool = False) -> Program:
    """One file of Bash."""
    return Program("bash", code, stdin=stdin, results=results)
