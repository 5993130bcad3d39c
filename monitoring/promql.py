"""The metrics that a PromQL expression reads."""

import re

_NOT_NAMES = {"and", "or", "unless", "offset", "bool", "on", "ignoring", "by", "without", "group_left", "group_right"}
_TEXT = re.compile(r"""(["'`])(?:\\.|(?!\1).)*\1""")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_BRACES = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_WORD = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*(?!\s*\(|[\w:])")


def metrics(expr: str) -> set[str]:
    """The names of the metrics that an expression selects. A selector without a name adds none."""
    bare = _GROUPING.sub("", _BRACES.sub("", _TEXT.sub("", expr)))
    return set(_WORD.findall(bare)) - _NOT_NAMES
