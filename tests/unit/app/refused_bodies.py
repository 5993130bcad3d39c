"""Bodies that are expensive to refuse."""

from collections.abc import Mapping

_ITEMS = 170_000
"""Wrong items of a body: with a byte and a comma each, 340 KB."""
_LONG = 1_000_000


def _with(fields: str, wrong: str) -> bytes:
    return f"{{{fields},{wrong}}}".encode()


def _items(field: str, item: str) -> str:
    return f'"{field}":[{",".join([item] * _ITEMS)}]'


def _keys() -> str:
    return ",".join(f'"{number}":1' for number in range(_ITEMS // 2))


_OURS = '"environment":"python","code":"1"'
_PISTON = '"language":"python","version":"*","files":[{"content":"1"}]'
_CODAPI = '"sandbox":"python","files":{"":"1"}'
BODIES: Mapping[tuple[str, str], bytes] = {
    ("/execute", "wrong args"): _with(_OURS, _items("args", "1")),
    ("/execute", "wrong results"): _with(_OURS, _items("results", "1")),
    ("/execute", "wrong files"): _with('"environment":"python"', _items("files", "{}")),
    ("/execute", "unknown keys"): _with(_OURS, _keys()),
    ("/execute", "a long key"): _with(_OURS, f'"{"k" * _LONG}":1'),
    ("/execute", "a long environment"): _with('"code":"1"', f'"environment":"{"e" * _LONG}"'),
    ("/execute", "nested lists"): b'{"args":' + b"[" * _LONG + b"]" * 2,
    ("/execute", "a string without an end"): b'{"code":"' + b'\\"' * (_LONG // 2),
    ("/execute/batch", "wrong inputs"): _with(_OURS, _items("inputs", "1")),
    ("/execute/batch", "wrong files of an input"): _with(_OURS, f'"inputs":[{{{_items("files", "{}")}}}]'),
    ("/execute", "wrong packages"): _with(_OURS, _items("packages", "1")),
    ("/packages", "wrong packages"): _with('"environment":"python"', _items("packages", "1")),
    ("/api/v2/execute", "wrong args"): _with(_PISTON, _items("args", "1")),
    ("/api/v2/execute", "wrong files"): _with('"language":"python","version":"*"', _items("files", "{}")),
    ("/api/v2/execute", "unknown keys"): _with(_PISTON, _keys()),
    ("/api/v2/execute", "a long language"): _with(
        '"version":"*","files":[{"content":"1"}]', f'"language":"{"l" * _LONG}"'
    ),
    ("/v1/exec", "a long sandbox"): _with('"files":{"":"1"}', f'"sandbox":"{"s" * _LONG}"'),
    ("/v1/exec", "wrong files"): _with('"sandbox":"python"', f'"files":{{{_keys()}}}'),
    ("/v1/exec", "unknown keys"): _with(_CODAPI, _keys()),
}
"""By path and kind. Each is within the limit of a body's size."""
