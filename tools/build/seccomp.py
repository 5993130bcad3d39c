"""Makes the seccomp profiles from base.json and calls.toml: `python -m tools.build.seccomp`, part of `make generate`.

With `--base VERSION`, first take base.json anew from that version of Docker's default (needs `go`, and the network).
"""

import argparse
import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.executor.seccomp import OF_THE_EXECUTOR, PROFILE

MODULE = "github.com/moby/profiles/seccomp"
BASE, CALLS = PROFILE.with_name("base.json"), PROFILE.with_name("calls.toml")
ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}
"""Each without its 32-bit modes: Docker's default names those as `subArchitectures`."""

Table = Mapping[str, list[dict[str, Any]]]
"""The content of calls.toml: lists of entries by the name of their kind."""
Rule = dict[str, Any]


class Drift(Exception):
    """The table and the base disagree. The message says which call, and what to do."""


def table() -> Table:
    """Read calls.toml."""
    found: Table = tomllib.loads(CALLS.read_text())
    return found


def calls(table: Table, *kinds: str) -> set[str]:
    """The names of the calls in all entries of these kinds."""
    return {name for kind in kinds for entry in table[kind] for name in entry["calls"].split()}


def base_of(default: Mapping[str, Any], origin: Mapping[str, str]) -> dict[str, Any]:
    """What Docker's default says of a container on our architectures: `privileged` needs a capability there."""
    rules: list[Rule] = []
    privileged: set[str] = set()
    for rule in default["syscalls"]:
        includes = rule.get("includes", {})
        arches = includes.get("arches")
        if arches and not set(arches) & set(ARCHITECTURES):
            continue
        if "caps" in includes:
            privileged.update(rule["names"])
            continue
        kept = {key: rule[key] for key in ("names", "action", "errnoRet", "args") if key in rule}
        if arches:
            kept["includes"] = {"arches": sorted(set(arches) & set(ARCHITECTURES))}
        rules.append(kept)
    return {"origin": dict(origin), "privileged": sorted(privileged), "rules": rules}


def profile_of(base: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """The sandbox's profile, or `Drift`."""
    _check(base, table)
    rules = _without(base, calls(table, "removed", "foreign", "narrowed"))
    for entry in table["narrowed"]:
        rules += [
            {
                "names": [entry["calls"]],
                "action": "SCMP_ACT_ALLOW",
                "args": [_condition(**argument) for argument in case],
            }
            for case in entry["cases"]
        ]
    return _profile(rules)


def executors_profile_of(base: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """The profile of the executor's container: the base, without what is removed, and with what is needed; or `Drift`.

    A filter holds for all descendants of a process, so this one allows what a sandbox's profile allows.
    """
    _check(base, table)
    removed, needed = calls(table, "removed", "foreign"), calls(table, "needed")
    granted = {name for rule in _without(base, removed) if set(rule) == {"names", "action"} for name in rule["names"]}
    if needless := needed & granted:
        raise Drift(f"{', '.join(sorted(needless))} are needed, and the base without the removed ones allows them")
    return _profile([*_without(base, removed | needed), {"names": sorted(needed), "action": "SCMP_ACT_ALLOW"}])


def _without(base: Mapping[str, Any], gone: set[str]) -> list[Rule]:
    return [
        {**rule, "names": names} for rule in base["rules"] if (names := [n for n in rule["names"] if n not in gone])
    ]


def _profile(rules: list[Rule]) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES.values()],
        "syscalls": rules,
    }


def _check(base: Mapping[str, Any], table: Table) -> None:
    allowed = {name for rule in base["rules"] for name in rule["names"]}
    everything = allowed | set(base["privileged"])
    removed, withheld, narrowed = calls(table, "removed", "foreign"), calls(table, "withheld"), calls(table, "narrowed")
    faults = {
        "are removed, but the base does not have them: list them as withheld": removed - everything,
        "are withheld, but the base allows them: list them as removed": withheld & everything,
        "are privileged in the base, and not in the table: list them as removed": everything - allowed - removed,
        "are narrowed, but the base does not allow them": narrowed - allowed,
    }
    if found := [f"{', '.join(sorted(names))} {fault}" for fault, names in faults.items() if names]:
        raise Drift("; ".join(found))


def _condition(index: int, value: int, mask: int | None = None) -> Rule:
    if mask is None:
        return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}
    # Docker's format has the mask as `value`, and what must be left of it as `valueTwo`.
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def _download(version: str) -> dict[str, Any]:
    command = ["go", "mod", "download", "-json", f"{MODULE}@{version}"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, cwd="/").stdout)
    origin = {
        "what": "Docker's default seccomp profile (default.json), for amd64 and arm64",
        "module": f"{MODULE}@{version}",
        "sum": found["Sum"],
        "license": "Apache-2.0, Copyright The Moby Authors",
    }
    return base_of(json.loads((Path(found["Dir"]) / "default.json").read_bytes()), origin)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", metavar="VERSION", help=f"version of {MODULE} from which to take base.json")
    version = parser.parse_args().base
    if version:
        _write(BASE, _download(version))
    base = json.loads(BASE.read_bytes())
    _write(PROFILE, profile_of(base, table()))
    _write(OF_THE_EXECUTOR, executors_profile_of(base, table()))


if __name__ == "__main__":
    main()
