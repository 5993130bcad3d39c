"""Grafana's data sources: those of datasources.yaml that a stack runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).with_name("datasources.yaml")


def datasources(urls: Mapping[str, str]) -> dict[str, Any]:
    """The provisioning file of the data sources.

    Args:
        urls: by uid, of the servers that the stack runs. Links lead only to servers that are there.
    """
    content: dict[str, Any] = yaml.safe_load(_FILE.read_text())
    there = [source for source in content["datasources"] if source["uid"] in urls]
    for source in there:
        source["url"] = urls[source["uid"]]
        source["jsonData"] = {
            key: [it for it in value if _leads_there(it, urls)] if isinstance(value, list) else value
            for key, value in source["jsonData"].items()
            if _leads_there(value, urls)
        }
    return {**content, "datasources": there}


def _leads_there(link: Any, urls: Mapping[str, str]) -> bool:
    return not isinstance(link, dict) or "datasourceUid" not in link or link["datasourceUid"] in urls
