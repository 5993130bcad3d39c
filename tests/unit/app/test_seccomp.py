"""The seccomp profiles are what their generator makes, and the generator refuses tables that miss their aim."""

import json
import platform
from typing import Any

import pytest

from app.executor.seccomp import (
    OF_THE_EXECUTOR,
    PROFILE,
    for_executor,
    for_executor_on_node,
    for_gvisor,
    for_oci,
)
from tools.build.seccomp import BASE, Drift, base_of, calls, executors_profile_of, profile_of, table

Base = dict[str, Any]
TABLE = table()


def allowed_by(profile: Base) -> dict[str, list[Any]]:
    """The conditions of each allowed system call; None without conditions."""
    rules = [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    return {
        name: [rule.get("args") for rule in rules if name in rule["names"]] for rule in rules for name in rule["names"]
    }


@pytest.fixture
def base() -> Base:
    """Docker's default seccomp profile, from the copy in this repository."""
    kept: Base = json.loads(BASE.read_bytes())
    return kept


def test_the_profile_is_what_the_generator_makes(base: Base) -> None:
    assert json.loads(PROFILE.read_bytes()) == profile_of(base, TABLE)


def test_the_executors_profile_is_what_the_generator_makes(base: Base) -> None:
    assert json.loads(OF_THE_EXECUTOR.read_bytes()) == executors_profile_of(base, TABLE)
    assert json.loads(for_executor()) == executors_profile_of(base, TABLE)
    assert "\n" not in for_executor()


@pytest.mark.parametrize(
    ("machine", "constant", "has_arch_prctl"),
    [("x86_64", "SCMP_ARCH_X86_64", True), ("aarch64", "SCMP_ARCH_AARCH64", False)],
)
def test_a_node_reads_the_executors_profile_for_its_architecture(
    monkeypatch: pytest.MonkeyPatch, machine: str, constant: str, has_arch_prctl: bool
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for_executor_on_node.cache_clear()
    profile = json.loads(for_executor_on_node())
    for_executor_on_node.cache_clear()
    assert profile["architectures"] == [constant]
    assert {key for rule in profile["syscalls"] for key in rule} <= {"names", "action", "errnoRet", "args"}
    assert ("arch_prctl" in allowed_by(profile)) == has_arch_prctl
    assert allowed_by(profile).items() <= allowed_by(json.loads(for_executor())).items()


def test_the_executors_filter_allows_what_a_sandbox_may_call(base: Base) -> None:
    """A filter holds for all descendants: what the executor's forbids, no sandbox can do."""
    whole = allowed_by(executors_profile_of(base, TABLE))
    assert set(allowed_by(profile_of(base, TABLE))) <= set(whole)
    needed = calls(TABLE, "needed")
    assert set(whole) - set(allowed_by(profile_of(base, TABLE))) == needed - {"clone"}
    assert all(whole[call] == [None] for call in needed)


@pytest.mark.parametrize(
    "call", ["bpf", "io_uring_setup", "keyctl", "perf_event_open", "init_module", "shmget", "splice"]
)
def test_the_executor_can_not_call_what_starting_a_sandbox_does_not_take(base: Base, call: str) -> None:
    assert call not in allowed_by(executors_profile_of(base, TABLE))


def test_a_call_that_is_needed_for_nothing_is_refused(base: Base) -> None:
    needless = {**TABLE, "needed": [{"calls": "read", "reason": "All programs read."}]}
    with pytest.raises(Drift, match="read are needed, and the base without the removed ones allows them"):
        executors_profile_of(base, needless)


@pytest.mark.parametrize(
    ("machine", "architecture", "has_arch_prctl"),
    [("x86_64", "SCMP_ARCH_X86_64", True), ("aarch64", "SCMP_ARCH_AARCH64", False)],
)
def test_the_runtime_is_given_the_calls_of_its_machine(
    monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str, has_arch_prctl: bool
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    profile = for_oci.__wrapped__()
    assert (profile["defaultAction"], profile["architectures"]) == ("SCMP_ACT_ERRNO", [architecture])
    assert ("arch_prctl" in allowed_by(profile)) == has_arch_prctl


def test_the_runtime_is_given_nothing_that_only_docker_reads() -> None:
    """The OCI runtime specification knows no conditions on capabilities, architectures or kernel versions."""
    assert for_oci().keys() == {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"}
    assert {key for rule in for_oci()["syscalls"] for key in rule} <= {"names", "action", "errnoRet", "args"}


def test_gvisor_is_given_the_same_in_its_own_words() -> None:
    assert allowed_by(for_gvisor()) == {**allowed_by(for_oci()), "pselect": [None]}
    others = [rule for rule in for_gvisor()["syscalls"] if rule["action"] != "SCMP_ACT_ALLOW"]
    assert others == [{"names": ["clone3"], "action": "SCMP_ACT_TRACE"}]


def test_nothing_is_allowed_that_the_base_does_not_allow(base: Base) -> None:
    allowed = {name for rule in base["rules"] for name in rule["names"]}
    profile = profile_of(base, TABLE)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {name for rule in profile["syscalls"] for name in rule["names"]} < allowed


def test_what_is_removed_or_withheld_is_not_in_the_profile(base: Base) -> None:
    left = {name for rule in profile_of(base, TABLE)["syscalls"] for name in rule["names"]}
    assert not left & calls(TABLE, "removed", "foreign", "withheld")


def test_no_narrowed_call_is_allowed_without_a_condition(base: Base) -> None:
    for entry in TABLE["narrowed"]:
        rules = [rule for rule in profile_of(base, TABLE)["syscalls"] if entry["calls"] in rule["names"]]
        assert len(rules) == len(entry["cases"])
        assert all(rule["args"] for rule in rules)


def test_no_mode_but_the_64_bit_one(base: Base) -> None:
    assert [found["subArchitectures"] for found in profile_of(base, TABLE)["archMap"]] == [[], []]


def test_every_reason_is_a_sentence_and_every_call_is_listed_once() -> None:
    listed = [
        name for kind in ("removed", "foreign", "withheld") for entry in TABLE[kind] for name in entry["calls"].split()
    ]
    assert len(listed) == len(set(listed))
    assert all(entry["reason"].endswith(".") for entries in TABLE.values() for entry in entries)


@pytest.mark.parametrize(
    ("name", "rule", "words"),
    [
        ("rules", {"names": ["io_uring_setup"], "action": "SCMP_ACT_ALLOW"}, "io_uring_setup are withheld"),
        ("privileged", "new_mount_call", "new_mount_call are privileged in the base"),
    ],
)
def test_a_base_that_lets_more_in_is_refused(base: Base, name: str, rule: object, words: str) -> None:
    base[name].append(rule)
    with pytest.raises(Drift, match=words):
        profile_of(base, TABLE)


def test_a_base_that_lost_a_call_is_refused(base: Base) -> None:
    for rule in base["rules"]:
        rule["names"] = [name for name in rule["names"] if name not in {"splice", "socket"}]
    with pytest.raises(Drift, match=r"splice are removed, .* socket are narrowed, "):
        profile_of(base, TABLE)


def test_the_base_is_what_applies_to_a_sandbox() -> None:
    default = {
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}, "args": ["x"]},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
            {"names": ["s390_pci"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
        ]
    }
    assert base_of(default, {"module": "m"}) == {
        "origin": {"module": "m"},
        "privileged": ["mount"],
        "rules": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": ["x"]},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        ],
    }
