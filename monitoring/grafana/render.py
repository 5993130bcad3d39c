"""Writes the dashboards' JSON (`python -m monitoring.grafana.render`), which is committed, from `boards/*.yaml`.

A board names its rows, and a row its panels. Every query is one that its server takes as it stands, without Grafana's
macros or variables: the tests and docs/dashboards/draw.py ask the same text. That is why the windows are fixed.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from monitoring.files import load
from monitoring.grafana.files import FOLDER

BOARDS = Path(__file__).parent / "boards"
KINDS: Mapping[str, Any] = load("grafana/panels.yaml")
COMMON: Mapping[str, Any] = load("grafana/dashboard.yaml")
_KEYS = {"title", "description", "query", "queries", "source", "width", "height"}
"""Of every panel. `queries` are expressions by legend, which may hold {{labels}}; `query` is one without a legend."""
_FIELDS = {"unit": "unit", "most": "max", "decimals": "decimals"}
"""The keys of a panel that Grafana has under `defaults`, and its names for them."""
_COLUMNS = 24


def panel(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Grafana's JSON of a panel that a board describes, without id and position.

    `levels` are values by the colour that begins there, and `good` is the colour below the first of them; `stacked`
    draws areas; `most` is the end of the axis; `links` are keys of dashboard.yaml; `hidden` are labels of a table that
    say nothing here.

    Raises:
        KeyError: no key tells its kind, or a key is missing or unknown.
    """
    kind = next((kind for kind in KINDS if kind in entry), None)
    if kind is None:
        raise KeyError(f"a panel has none of the keys {', '.join(KINDS)}")
    known = KINDS[kind]
    if unknown := entry.keys() - {kind, *_KEYS, *known["keys"]}:
        raise KeyError(f"{entry[kind]} has unknown keys: {', '.join(sorted(unknown))}")
    source = entry.get("source", "prometheus")
    queries = entry.get("queries") or {"": entry["query"]}
    target = known["target"] if source == "prometheus" else {}
    built = {
        **copy.deepcopy(known["panel"]),
        "title": entry[kind],
        "description": entry["description"],
        "datasource": _reference(source),
        "targets": [
            {**target, "expr": expr, "legendFormat": legend, "refId": chr(ord("A") + number)}
            for number, (legend, expr) in enumerate(queries.items())
        ],
        "gridPos": {"w": entry.get("width", known["width"]), "h": entry.get("height", known["height"])},
    }
    defaults = built.get("fieldConfig", {}).get("defaults", {})
    defaults |= {_FIELDS[key]: value for key, value in entry.items() if key in _FIELDS}
    levels = entry.get("levels", {})
    if "thresholds" in defaults:
        steps = {entry.get("good", "green"): None, **levels}
        defaults["thresholds"]["steps"] = [{"value": value, "color": color} for color, value in steps.items()]
    if kind == "graph" and levels:
        defaults["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    if entry.get("stacked"):
        defaults["custom"] |= {"fillOpacity": 60, "stacking": {"mode": "normal"}}
    if links := entry.get("links"):
        defaults["links"] = [_link(**COMMON["links"][link]) for link in links]
    if hidden := entry.get("hidden"):
        built["transformations"][0]["options"]["excludeByName"] |= dict.fromkeys(hidden, True)
    return built


def board(uid: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboard of a board: `title`, `description`, and lists of panels by the titles of their rows."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, entries in content["rows"].items():
        row = {"type": "row", "title": title, "collapsed": False, "panels": []}
        x, height = 0, 1
        for built in ({**row, "gridPos": {"w": _COLUMNS, "h": 1}}, *map(panel, entries)):
            place = built["gridPos"]
            if x + place["w"] > _COLUMNS:
                x, y, height = 0, y + height, 0
            panels.append({**built, "id": len(panels) + 1, "gridPos": {**place, "x": x, "y": y}})
            x, height = x + place["w"], max(height, place["h"])
        y += height
    title, description = content["title"], content["description"]
    return {**COMMON["dashboard"], "uid": uid, "title": title, "description": description, "panels": panels}


def rendered() -> dict[str, str]:
    """The JSON of each dashboard by its file's name."""
    boards = {file.stem: board(file.stem, yaml.safe_load(file.read_text())) for file in BOARDS.glob("*.yaml")}
    return {f"{uid}.json": f"{json.dumps(built, indent=2, sort_keys=True)}\n" for uid, built in boards.items()}


def _reference(source: str) -> dict[str, str]:
    """How Grafana's JSON names a data source. There is one of each kind, whose uid is the name of the kind."""
    return {"type": source, "uid": source}


def _link(title: str, source: str, query: Mapping[str, str]) -> dict[str, Any]:
    """A link to Explore with this query, for the time that the graph shows."""
    pane = {
        "datasource": source,
        "queries": [{"refId": "A", "datasource": _reference(source), **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    url = "/explore?schemaVersion=1&panes=" + quote(json.dumps({"a": pane}), safe="${}")
    (like,) = COMMON["dashboard"]["links"]
    own = {"type": "link", "title": title, "url": url, "tags": [], "targetBlank": True}
    return {**like, "asDropdown": False, "keepTime": False, **own}


def main() -> None:
    """Write them, and remove those of boards that are gone."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.json"):
        file.unlink()
    for name, content in rendered().items():
        (FOLDER / name).write_text(content)


if __name__ == "__main__":
    main()
