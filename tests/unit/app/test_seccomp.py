"""The sandbox's seccomp profile is what its generator makes, and the generator refuses tables that miss their aim."""

import json
from typing import Any

import pytest

from app.executor.seccomp import PROFILE, load, load_for_gvisor
from app.executor.seccomp.generate import BASE, Drift, base_of, profile_of
from app.executor.seccomp.removed import NARROWED, REMOVED, WITHHELD

Base = dict[str, Any]


@pytest.fixture
def base() -> Base:
    """Docker's default, as it is kept here."""
    kept: Base = json.loads(BASE.read_bytes())
    return kept


def test_the_profile_is_what_the_generator_makes(base: Base) -> None:
    assert json.loads(PROFILE.read_bytes()) == profile_of(base)


def test_what_the_engine_is_given() -> None:
    assert json.loads(load()) == json.loads(PROFILE.read_bytes())
    assert "\n" not in load()


def test_gvisor_is_given_the_same_in_its_own_words() -> None:
    def allowed(profile: str) -> dict[str, list[Any]]:
        rules = [rule for rule in json.loads(profile)["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
        return {
            name: [rule.get("args") for rule in rules if name in rule["names"]]
            for rule in rules
            for name in rule["names"]
        }

    assert allowed(load_for_gvisor()) == {**allowed(load()), "pselect": [None]}
    others = [rule for rule in json.loads(load_for_gvisor())["syscalls"] if rule["action"] != "SCMP_ACT_ALLOW"]
    assert others == [{"names": ["clone3"], "action": "SCMP_ACT_TRACE"}]


def test_nothing_is_allowed_that_the_base_does_not_allow(base: Base) -> None:
    allowed = {name for rule in base["rules"] for name in rule["names"]}
    profile = profile_of(base)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {name for rule in profile["syscalls"] for name in rule["names"]} < allowed


def test_what_is_removed_or_withheld_is_not_in_the_profile(base: Base) -> None:
    left = {name for rule in profile_of(base)["syscalls"] for name in rule["names"]}
    assert not left & {call for removal in REMOVED + WITHHELD for call in removal.calls}


def test_no_narrowed_call_is_allowed_without_a_condition(base: Base) -> None:
    for narrowing in NARROWED:
        rules = [rule for rule in profile_of(base)["syscalls"] if narrowing.call in rule["names"]]
        assert len(rules) == len(narrowing.cases)
        assert all(rule["args"] for rule in rules)


def test_no_mode_but_the_64_bit_one(base: Base) -> None:
    assert [found["subArchitectures"] for found in profile_of(base)["archMap"]] == [[], []]


def test_every_reason_is_a_sentence_and_every_call_is_listed_once() -> None:
    calls = [call for removal in REMOVED + WITHHELD for call in removal.calls]
    assert len(calls) == len(set(calls))
    reasons = [removal.reason for removal in REMOVED + WITHHELD] + [narrowing.reason for narrowing in NARROWED]
    assert all(reason.endswith(".") for reason in reasons)


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
        profile_of(base)


def test_a_base_that_lost_a_call_is_refused(base: Base) -> None:
    for rule in base["rules"]:
        rule["names"] = [name for name in rule["names"] if name not in {"splice", "socket"}]
    with pytest.raises(Drift, match=r"splice are removed, .* socket are narrowed, "):
        profile_of(base)


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
