"""A first filter: what in a visitor's code looks dangerous.

It only warns, in the answer and in the log, unless the operator sets API_REFUSE_PATTERNS. Isolation never depends on
it: a pattern is trivially written in another way, and legitimate code may contain one. What code can do is decided by
the sandbox alone.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """`name` is what logs and metrics say. `languages` is empty when it may be in code of any. `warning` is a sentence.

    An expression is matched against whatever a visitor sends, so its time must grow no faster than the text: it
    begins with a literal or a bound, and no two of its repetitions can share a character.
    """

    name: str
    languages: frozenset[str]
    expression: re.Pattern[str]
    warning: str


def _pattern(name: str, languages: str, expression: str, warning: str) -> Pattern:
    return Pattern(name, frozenset(languages.split()), re.compile(expression, re.MULTILINE), warning)


_NO_NETWORK = "The code seems to use the network: a sandbox has none."
_NO_PRIVILEGES = "The code seems to ask for privileges of the kernel: a sandbox has none."
_PROCESSES = "The code seems to start processes without end: a sandbox may hold a few only."
_DELETES = "The code seems to delete everything: a sandbox's files can't be changed outside of /tmp."

PATTERNS: tuple[Pattern, ...] = (
    _pattern("fork_bomb", "bash", r"(:|\b\w{1,32})\(\)\s*\{\s*\1\s*\|\s*\1\s*&", _PROCESSES),
    _pattern("fork_bomb", "python", r"\bwhile (?:True|1):\s*os\.fork\(", _PROCESSES),
    _pattern(
        "fork_bomb", "node", r"\bwhile ?\((?:true|1)\)[\s{]{0,32}[\w.('\")]{0,64}\b(?:fork|spawn|exec)\(", _PROCESSES
    ),
    _pattern("delete_all", "bash", r"\brm (?:-[\w-]{1,32} ){1,4}/(?:\*|\s|$)", _DELETES),
    _pattern("delete_all", "python", r"\brmtree\(['\"]/['\"]", _DELETES),
    _pattern("delete_all", "node", r"\brm(?:Sync)?\(['\"]/['\"]", _DELETES),
    _pattern(
        "network",
        "python",
        r"^[ \t]{0,64}(?:import|from) (?:socket|urllib|http\.client|requests|httpx|aiohttp|ftplib|smtplib)\b",
        _NO_NETWORK,
    ),
    _pattern(
        "network", "node", r"(?:require\(|from )['\"](?:node:)?(?:net|http|https|http2|dgram|tls)['\"]", _NO_NETWORK
    ),
    _pattern("network", "node", r"\bfetch\(['\"`]https?:", _NO_NETWORK),
    _pattern("network", "bash", r"(?:^|[;&|(] {0,4})(?:curl|wget|nc|ncat|ssh|telnet) |/dev/(?:tcp|udp)/", _NO_NETWORK),
    _pattern(
        "privileges", "bash", r"(?:^|[;&|(] {0,4})(?:sudo|mount|unshare|nsenter|chroot|pivot_root)\b", _NO_PRIVILEGES
    ),
    _pattern("privileges", "python", r"\bos\.(?:unshare|setns|setuid|setresuid|chroot)\(", _NO_PRIVILEGES),
    _pattern(
        "engine_socket",
        "",
        r"\b(?:docker|containerd|podman)\.sock\b",
        "The code names an engine's socket: a sandbox has none.",
    ),
    _pattern(
        "host_files",
        "",
        r"/proc/(?:1/|sysrq|kcore)|/etc/shadow\b|/sys/fs/cgroup\b",
        "The code names files of the host: a sandbox can't see them.",
    ),
    _pattern(
        "miner",
        "",
        r"\bstratum\+(?:tcp|ssl)://|\bxmrig\b",
        "The code seems to mine: a sandbox has no network, and ends soon.",
    ),
)


def dangerous(environment: str, texts: Iterable[str]) -> tuple[Pattern, ...]:
    """The patterns found in these files of an execution, one a name, in their own order."""
    language = environment.partition("-")[0]
    code = tuple(texts)
    found = {
        pattern.name: pattern
        for pattern in PATTERNS
        if (not pattern.languages or language in pattern.languages) and any(map(pattern.expression.search, code))
    }
    return tuple(found.values())
