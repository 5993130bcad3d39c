"""The parts of the documents that are generated: `python -m tools.reference` writes them anew, a test compares.

Each stands between two comments, `<!-- generated: NAME -->` and `<!-- end: NAME -->`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from monitoring.prometheus.rules import alerts
from tools.paths import ROOT

DOCUMENTS = (Path("docs/OPERATIONS.md"),)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


def alerts_table() -> str:
    """Each alert with what it means, linked to its runbook."""
    rows = ["| alert | severity | after | when |", "|---|---|---|---|"]
    for alert in sorted(alerts(), key=lambda alert: (alert.name, alert.severity)):
        when = re.sub(r"\{\{ *\$labels\.(\w+) *\}\}", r"(\1)", alert.summary)
        wait = "at once" if alert.wait == "0s" else alert.wait
        rows.append(f"| [{alert.name}](#{alert.name.lower()}) | {alert.severity} | {wait} | {when} |")
    return "\n".join(rows)


TABLES: Mapping[str, Callable[[], str]] = MappingProxyType({"alerts": alerts_table})


def with_tables(text: str) -> str:
    """The document with each generated part as it should be.

    Raises:
        ValueError: the document asks for a part that nothing makes, or doesn't end it.
    """
    for name in re.findall(r"<!-- generated: (\w+) -->", text):
        if name not in TABLES:
            raise ValueError(f"nothing generates {name}; there are: {', '.join(TABLES)}")
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        before, _, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not ended:
            raise ValueError(f"{begin} is not followed by {end}")
        text = f"{before}{begin}\n{TABLES[name]()}\n{end}{after}"
    return text


def anchors(text: str) -> set[str]:
    """What a link into a Markdown document can name: its headings, as code hosts spell them."""
    return {_NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


def main() -> None:
    for document in DOCUMENTS:
        file = ROOT / document
        file.write_text(with_tables(file.read_text()))


if __name__ == "__main__":
    main()
