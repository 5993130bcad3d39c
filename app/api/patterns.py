"""Finds patterns in visitors' code that look dangerous, and warns of them in the answer and in the log.

Isolation never depends on this: code can do the same in another way, and legitimate code may match. With the setting
API_REFUSE_PATTERNS the operator has such code refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """`name` is the name in logs and metrics. Without `languages` the pattern applies to all. `warning` is a sentence.

    The expression is matched against whatever a visitor sends, so its time must be proportional to the text: it begins
    with a literal or a bounded repetition, and no two adjacent repetitions match the same character.
    """

    name: str
    languages: frozenset[str]
    expression: re.Pattern[str]
    warning: str


def _pattern(name: str, languages: str, expression: str, warning: str) -> Pattern:
    return Pattern(name, frozenset(languages.split()), re.compile(expression, re.MULTILINE), warning)


_NO_NETWORK = "The code seems to use the network: a sandbox has none."
_NO_PRIVILEGES = "The code seems to ask for privileges of the kernel: a sandbox has none."
_PROCESSES = "The code seems to start processes without end: a sandbox has a limit of processes."
_DELETES = "The code seems to delete everything: outside of /tmp a sandbox's files are read-only."

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
        "The code names the socket of a container engine: a sandbox has none.",
    ),
    _pattern(
        "host_files",
        "",
        r"/proc/(?:1/|sysrq|kcore)|/etc/shadow\b|/sys/fs/cgroup\b",
        "The code names files of the host: a sandbox has no access to them.",
    ),
    _pattern(
        "miner",
        "",
        r"\bstratum\+(?:tcp|ssl)://|\bxmrig\b",
        "The code seems to mine cryptocurrency: a sandbox has no network, and its time is limited.",
    ),
)


def dangerous(environment: str, texts: Iterable[str]) -> tuple[Pattern, ...]:
    """The patterns that match a text of an execution, in the order of `PATTERNS`: one for each name, the last."""
    language = environment.partition("-")[0]
    code = tuple(texts)
    found = {
        pattern.name: pattern
        for pattern in PATTERNS
        if (not pattern.languages or language in pattern.languages) and any(map(pattern.expression.search, code))
    }
    return tuple(found.values())
