"""What the preview accepts, the api and the executor accept at their start: their settings are the operator's."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import settings as api
from app.api.keys import KEYS
from app.api.rate import rate_limit_store
from app.api.repeats import answer_store
from app.api.rooms.settings import RoomsOptions
from app.environments import ENVIRONMENTS
from app.executor import settings as executor
from app.process.settings import ProcessSettings
from app.profile import SandboxProfile
from app.runtimes import RUNTIMES
from infra.config import SettingsError, parse_settings
from infra.services.sandbox import api_settings, executor_settings, keys_file
from infra.settings import PlatformSettings, Sandbox
from tests.profiles import WEAKER
from tests.program import containers, platform_config, run_program

PROCESSES: dict[str, type[ProcessSettings]] = {"api": api.ApiSettings, "executor": executor.ExecutorSettings}
REQUIRED = {
    "API_PROFILE": "{}",
    "EXECUTOR_PROFILE": "{}",
    "EXECUTOR_ENVIRONMENTS": '["node"]',
}

BAD: dict[tuple[str, str], list[tuple[Any, dict[str, Any], str]]] = {
    ("api", "profile"): [({"pids": 0}, {"sandbox": {"profile": {"pids": 0}}}, "sandbox.profile.pids")],
    ("api", "requests_per_minute"): [
        (0, {"sandbox": {"requests_per_minute": 0}}, "sandbox.requests_per_minute"),
    ],
    ("api", "batch_at_once"): [
        (number, {"sandbox": {"batch_at_once": number}}, "sandbox.batch_at_once") for number in (0, 101)
    ],
    ("api", "repeats_mb"): [(number, {"sandbox": {"repeats_mb": number}}, "sandbox.repeats_mb") for number in (0, 65)],
    ("api", "rate_store"): [
        (store, {"sandbox": {"rate_store": store}}, "sandbox.rate_store")
        for store in ("redis://store:6379", "valkey://store", "valkey://store:70000", "valkey://me:secret@store:6379")
    ],
    ("api", "allowed_origins"): [
        (["https://x.org/"], {"sandbox": {"allowed_origins": ["https://x.org/"]}}, "sandbox.allowed_origins.0"),
        (["https://x.org", "*"], {"sandbox": {"allowed_origins": ["https://x.org", "*"]}}, "sandbox.allowed_origins.1"),
    ],
    ("api", "refuse_patterns"): [("perhaps", {"sandbox": {"refuse_patterns": "perhaps"}}, "sandbox.refuse_patterns")],
    ("api", "mcp"): [("perhaps", {"sandbox": {"mcp": "perhaps"}}, "sandbox.mcp")],
    ("api", "log_code"): [("perhaps", {"sandbox": {"log_code": "perhaps"}}, "sandbox.log_code")],
    ("executor", "profile"): [
        ({field: weaker}, {"sandbox": {"profile": {field: weaker}}}, "sandbox.profile")
        for field, weaker in WEAKER.items()
    ],
    ("executor", "runtime"): [("kata", {"sandbox": {"runtime": "kata"}}, "sandbox.runtime")],
    ("executor", "pools"): [
        ({name: bounds}, {"sandbox": {"pools": {name: bounds}}}, f"sandbox.pools.{name}")
        for name, bounds in (("python", {"min": 8, "max": 2}), ("cobol", {"min": 1, "max": 2}))
    ],
    ("executor", "concurrency"): [
        (number, {"sandbox": {"concurrency": number}}, "sandbox.concurrency") for number in (0, 257)
    ],
    ("executor", "queue"): [(number, {"sandbox": {"queue": number}}, "sandbox.queue") for number in (-1, 4097)],
    ("executor", "queue_seconds"): [
        (number, {"sandbox": {"queue_seconds": number}}, "sandbox.queue_seconds") for number in (0, 61)
    ],
    ("api", "packages"): [
        (
            {"index": "https://me:secret@a.example/"},
            {"sandbox": {"packages": {"index": "x"}}},
            "sandbox.packages.index",
        ),
        ({"deny": ["-r"]}, {"sandbox": {"packages": {"deny": ["-r"]}}}, "sandbox.packages.deny.0"),
        *(
            ({field: number}, {"sandbox": {"packages": {field: number}}}, f"sandbox.packages.{field}")
            for field in ("most", "set_mb", "store_mb", "seconds", "sets_per_hour")
            for number in (0, *(() if field == "sets_per_hour" else (10_000_000,)))
        ),
    ],
    ("api", "rooms"): [
        ({field: number}, {"sandbox": {"rooms": {field: number}}}, f"sandbox.rooms.{field}")
        for field in RoomsOptions.model_fields
        for number in (0, 10_000_000)
    ],
    ("executor", "environments"): [
        (["cobol"], {"sandbox": {"environments": ["cobol"]}}, "sandbox.environments.0"),
        ([], {"sandbox": {"environments": []}}, "sandbox.environments"),
    ],
}
"""By process and field: a value that the process refuses, how an operator would ask for it, and the operator's key."""

NOT_THE_OPERATORS = {
    ("api", "keys_file"): "a path in the container, where the program puts sandbox.keys",
    ("api", "executor_socket"): "a path in the volume that the two containers share",
    ("api", "host"): "an address inside the container, whose network is the program's",
    ("api", "port"): "a port inside the container, to which the edge's route leads",
    ("api", "metrics_port"): "a port inside the container, which Prometheus's configuration names",
    ("api", "trusted_proxies"): "the subnet that Docker gives the edge's network, and Cloudflare's published networks",
    ("api", "packages_socket"): "a path in the volume that the two containers share",
    ("api", "rooms_folder"): "the path of a volume, in the unit that has the rooms where sandbox.rooms is set",
    ("api", "grace_seconds"): "what an execution may take",
    ("api", "linger_seconds"): "what the edge needs to send its requests elsewhere",
    ("api", "otlp_endpoint"): "the address of Jaeger, which the program starts",
    ("executor", "package_store"): "the path of a volume, where sandbox.packages is set",
    ("executor", "socket"): "a path in the volume that the two containers share",
    ("executor", "roots"): "a folder of the executor's image",
    ("executor", "apparmor"): "follows from engine.apparmor",
    ("executor", "traces"): "follows from services.jaeger",
    ("executor", "host_users"): "follows from cluster.units.isolation",
}
"""By process and field: why the operator can't set it."""


def fields() -> set[tuple[str, str]]:
    return {(process, field) for process, model in PROCESSES.items() for field in model.model_fields}


def test_each_field_of_a_process_is_driven_by_a_bad_value_or_is_not_the_operators() -> None:
    assert set(BAD) | set(NOT_THE_OPERATORS) == fields()
    assert not set(BAD) & set(NOT_THE_OPERATORS)


@pytest.mark.parametrize(
    ("process", "field", "value", "overrides", "key"),
    [(*where, *case) for where, cases in BAD.items() for case in cases],
)
def test_what_a_process_refuses_the_preview_refuses_by_the_operators_key(
    process: str, field: str, value: Any, overrides: dict[str, Any], key: str
) -> None:
    model = PROCESSES[process]
    text = value if isinstance(value, str) else json.dumps(value)
    with pytest.raises(Exception, match=model.variable(field)):
        model.read({**REQUIRED, model.variable(field): text})
    with pytest.raises(SettingsError, match=rf"^vps:platform in Pulumi.local.yaml can't be used:\n  {key}: "):
        run_program("local", platform_config("local", **overrides))


HASHES = st.sampled_from([f"sha256:{digit * 64}" for digit in "0123"] + ["0" * 64])
ORIGINS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "ftp://", ""]),
    st.sampled_from(["a.example", "A.example", "*.a.example", "localhost", "127.0.0.1", "[::1]", "me@a.example", ""]),
    st.sampled_from(["", ":443", ":80", ":8443", ":0", ":70000", ":x"]),
    st.sampled_from(["", "", "", "/", "/page", "?q"]),
)
STORES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["valkey://", "valkeys://", "redis://", ""]),
    st.sampled_from(["store", "a.example", "127.0.0.1", "[::1]", "me:secret@store", "a b", ""]),
    st.sampled_from([":6379", ":1", "", ":0", ":70000", ":x"]),
    st.sampled_from(["", "/0", "/15", "/", "/a", "/0/1"]),
)
NAMES = st.sampled_from([*ENVIRONMENTS, "cobol", ""])
SMALL = st.integers(-1, 70)


def some(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


LIMITS = {name: st.integers(-1, int(value) + 1) | st.floats() for name, value in SandboxProfile().limits().items()}
SANDBOX: dict[str, st.SearchStrategy[Any]] = {
    "profile": some(LIMITS).map(lambda limits: kept(limits, lambda one: {"profile": one})),
    "environments": st.lists(NAMES, max_size=5),
    "pools": st.dictionaries(NAMES, st.fixed_dictionaries({"min": SMALL, "max": SMALL}), max_size=3),
    "runtime": st.sampled_from([*RUNTIMES, "kata", ""]),
    "concurrency": st.integers(-1, 300),
    "memory_mb": st.integers(-1, 4096),
    "keep_counts": st.booleans(),
    "keys": st.lists(
        st.fixed_dictionaries(
            {"name": st.sampled_from(["site", "other", "Site"]), "secrets": st.lists(HASHES, max_size=3)},
            optional={"origins": st.lists(ORIGINS, max_size=2), "requests_per_minute": st.integers(-1, 3)},
        ),
        max_size=3,
    ),
    "cpus": st.floats() | st.integers(-1, 2000),
    "queue": st.integers(-1, 5000),
    "queue_seconds": st.floats() | st.integers(),
    "requests_per_minute": st.integers(-1),
    "batch_at_once": st.integers(-1, 200),
    "repeats_mb": st.integers(-1, 100),
    "rate_store": STORES | st.just("memory://"),
    "allowed_origins": st.lists(ORIGINS, max_size=3),
    "mcp": st.booleans(),
    "packages": st.none()
    | some({"most": st.integers(-1, 50), "seconds": st.integers(-1, 60), "deny": st.lists(NAMES)}),
    "rooms": st.none() | some({"document_kb": st.integers(7, 1025), "members": st.integers(-1, 101)}),
    "refuse_patterns": st.booleans() | st.sampled_from(["yes", "off", "perhaps", 1, None]),
    "start_seconds": st.integers(-1, 4000),
    "units": st.integers(-1, 20),
    "log_code": st.booleans() | st.sampled_from(["yes", "off", "perhaps", 1, None]),
}
"""For each key of `sandbox`, values of which some are refused."""


PLATFORM = platform_config("local")


def kept(values: Mapping[str, Any], sandbox: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The values without those that the preview refuses when it is given one alone."""

    def accepts(name: str) -> bool:
        try:
            parse_settings({**PLATFORM, "sandbox": sandbox({name: values[name]})}, "local")
        except SettingsError:
            return False
        return True

    return {name: values[name] for name in filter(accepts, values)}


PLATFORMS = st.builds(
    lambda sandbox, name: parse_settings({**PLATFORM, "sandbox": kept(sandbox, dict), "name": name}, "local"),
    some(SANDBOX),
    st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True),
)
"""Settings that the preview accepts."""


def test_every_key_of_the_sandbox_is_drawn() -> None:
    assert set(SANDBOX) == set(Sandbox.model_fields)


# On a busy machine one example takes longer than hypothesis' default deadline of 200 ms.
@hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@given(PLATFORMS, st.sampled_from([None, "http://jaeger:4318"]))
def test_both_processes_read_what_the_preview_accepts(settings: PlatformSettings, otlp_endpoint: str | None) -> None:
    for_api = api_settings(settings.sandbox, otlp_endpoint)
    for_executor = executor_settings(settings.sandbox, otlp_endpoint, settings.engine.apparmor)
    assert api.ApiSettings.read(for_api.variables()) == for_api
    assert executor.ExecutorSettings.read(for_executor.variables()) == for_executor
    for process in (for_api, for_executor):
        chosen = set(type(process).model_fields) & set(Sandbox.model_fields)
        assert {field: getattr(process, field) for field in chosen} == {
            field: getattr(settings.sandbox, field) for field in chosen
        }
    assert KEYS.validate_json(keys_file(settings.sandbox)) == settings.sandbox.keys
    rate_limit_store(for_api.rate_store)
    answer_store(for_api.rate_store, for_api.repeats_mb)


def test_the_containers_have_these_settings() -> None:
    platform = platform_config(
        "local",
        sandbox={
            "queue_seconds": 2.5,
            "rate_store": "valkey://valkey.example.com:6379/0",
            "allowed_origins": ["https://a.example", "http://localhost:3000"],
            "pools": {"python": {"min": 0, "max": 9}},
            "profile": {"pids": 40},
        },
    )
    settings = parse_settings(platform, "local")
    resources = containers(run_program("local", platform))
    environs = {name: dict(entry.split("=", 1) for entry in resources[name]["envs"]) for name in ("api", "executor")}
    found = api.ApiSettings.read(environs["api"]), executor.ExecutorSettings.read(environs["executor"])
    wanted = (
        api_settings(settings.sandbox, "http://jaeger:4318"),
        executor_settings(settings.sandbox, "http://jaeger:4318", has_apparmor=True),
    )
    # The proxies' addresses are known only during the deployment.
    assert found[0] == wanted[0].model_copy(update={"trusted_proxies": ("172.30.0.0/24",)})
    assert found[1] == wanted[1]
