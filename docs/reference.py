"""Writes the OpenAPI document and the generated tables of the documents: a part of `make generate`. A test compares.

Each table stands between two comments, `<!-- generated: NAME -->` and `<!-- end: NAME -->`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Union, get_args, get_origin

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from app.api.metrics import Metrics as ApiMetrics
from app.api.operations import OPERATIONS
from app.backup.state import families as backup_families
from app.containers.figures import families
from app.environments import ENVIRONMENTS, VARIANTS
from app.executor.metrics import Metrics as ExecutorMetrics
from app.keeper.metrics import Metrics as KeeperMetrics
from app.packages.metrics import Metrics as PackagesMetrics
from app.packages.store import Store
from app.process.settings import meaning
from app.profile import SandboxProfile
from docs.openapi import document as openapi_document
from infra.settings import PlatformSettings
from monitoring.prometheus.rules import alerts

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (Path("README.md"), Path("docs/OPERATIONS.md"), Path("docs/SETTINGS.md"))
OPENAPI = Path("frontend/openapi.json")
"""A source of the built pages: `npm run build` in frontend/ renders it and copies it to where the api serves it."""
_OURS = ("api_", "backup_", "keeper_", "sandbox_", "container_", "executor_", "packages_")
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


def metrics_table() -> str:
    """What our own processes count, as they say it themselves."""
    profile = SandboxProfile()
    sources: Mapping[str, Iterable[Metric]] = {
        "api": text_string_to_metric_families(ApiMetrics(profile).text().decode()),
        "executor": text_string_to_metric_families(ExecutorMetrics(profile).exposition().decode()),
        "packages": text_string_to_metric_families(PackagesMetrics(Store(ROOT, 1)).exposition().decode()),
        "container-exporter": families().values(),
        "backup": backup_families(),
        "keeper": KeeperMetrics(()).registry.collect(),
    }
    rows = ["| metric | kind | from | meaning |", "|---|---|---|---|"]
    for service, found in sources.items():
        for family in sorted(found, key=lambda family: family.name):
            if family.name.startswith(_OURS) and not family.name.endswith("_created"):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                rows.append(f"| `{name}` | {family.type} | {service} | {family.documentation} |")
    return "\n".join(rows)


def environments_table() -> str:
    """Each environment, as requests name it, and where its interpreter comes from."""
    rows = ["| environment | language | aliases | on by default | version | source | end of life |", f"|{'---|' * 7}"]
    for it in (*ENVIRONMENTS.values(), *VARIANTS.values()):
        aliases = ", ".join(f"`{alias}`" for alias in it.aliases)
        default = f"with `{it.within}`" if it.within else "yes" if it.default else "no"
        cells = (f"`{it.name}`", it.language, aliases, default, it.release.version, it.release.source)
        rows.append(f"| {' | '.join(cells)} | {it.release.end_of_life} |")
    return "\n".join(rows)


def openapi() -> str:
    """The OpenAPI document of the public interface."""
    return f"{json.dumps(openapi_document(OPERATIONS), indent=1)}\n"


def settings_table() -> str:
    """Each key of `vps:platform` with its default and its meaning."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key, field in settings():
        default = field.get_default(call_default_factory=True)
        shown = "" if field.is_required() else f"`{json.dumps(to_jsonable_python(default))}`"
        text = meaning(field).removesuffix(".")
        rows.append(f"| `{key}` | {shown} | {text[:1].upper()}{text[1:]} |")
    return "\n".join(rows)


def settings(model: type[BaseModel] = PlatformSettings, above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The keys of `vps:platform` that hold a value. A section is a key itself where it can be left out."""
    for name, field in model.model_fields.items():
        cases = (
            get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else (field.annotation,)
        )
        items = get_args(field.annotation)[0] if get_origin(field.annotation) is tuple else None
        if isinstance(items, type) and issubclass(items, BaseModel):
            yield f"{above}{name}", field
            yield from settings(items, f"{above}{name}[].")
            continue
        sections = [case for case in cases if isinstance(case, type) and issubclass(case, BaseModel)]
        if len(sections) < len(cases):
            yield f"{above}{name}", field
        for section in sections:
            yield from settings(section, f"{above}{name}.")


TABLES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "alerts": alerts_table,
        "environments": environments_table,
        "metrics": metrics_table,
        "settings": settings_table,
    }
)


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
    (ROOT / OPENAPI).write_text(openapi())
    for document in DOCUMENTS:
        file = ROOT / document
        file.write_text(with_tables(file.read_text()))


if __name__ == "__main__":
    main()
