"""The settings of both processes, and errors that name each invalid variable."""

import json
from collections.abc import Mapping

import pytest

from app.api.rate import rate_limit_store
from app.api.settings import ApiSettings
from app.executor.settings import Bounds, ExecutorSettings
from app.process.settings import SettingsError
from app.profile import FLOOR, SandboxProfile
from tests.profiles import WEAKER

EXECUTOR = {
    "EXECUTOR_PROFILE": "{}",
    "EXECUTOR_ENVIRONMENTS": '["python"]',
}


def executor_fault(changes: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        ExecutorSettings.read({**EXECUTOR, **changes})
    return str(caught.value)


def api_fault(changes: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        ApiSettings.read({"API_PROFILE": "{}", **changes})
    return str(caught.value)


def test_executor_defaults() -> None:
    settings = ExecutorSettings.read({**EXECUTOR, "HOME": "/"})
    assert settings.profile == FLOOR
    assert (settings.concurrency, settings.runtime, settings.environments) == (4, "crun", ("python",))


def test_pools_that_are_not_set_have_their_default() -> None:
    pools = ExecutorSettings.read({**EXECUTOR, "EXECUTOR_POOLS": '{"python": {"min": 0, "max": 9}}'}).pools
    assert (pools["python"], pools["bash"]) == (Bounds(min=0, max=9), ExecutorSettings.read(EXECUTOR).pools["bash"])


def test_a_stricter_profile_is_accepted() -> None:
    settings = ExecutorSettings.read({**EXECUTOR, "EXECUTOR_PROFILE": '{"timeout_seconds": 2, "pids": 10}'})
    assert settings.profile == SandboxProfile(timeout_seconds=2, pids=10)


def test_every_field_of_the_profile_has_a_weaker_value_here() -> None:
    assert set(WEAKER) == set(SandboxProfile.model_fields)


@pytest.mark.parametrize("field", WEAKER)
def test_a_weaker_profile_is_refused_with_the_fields_name(field: str) -> None:
    profile = FLOOR.model_copy(update={field: WEAKER[field]}).model_dump_json(warnings=False)
    fault = executor_fault({"EXECUTOR_PROFILE": profile})
    assert "EXECUTOR_PROFILE is wrong: the profile is weaker than the floor" in fault
    assert f"{field} is " in fault


def test_all_weaknesses_are_named_at_once() -> None:
    fault = executor_fault({"EXECUTOR_PROFILE": '{"pids": 99, "memory_mb": 999}'})
    assert "pids is 99" in fault
    assert "memory_mb is 999" in fault


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"EXECUTOR_PROFILE": "{"}, "EXECUTOR_PROFILE is wrong: Invalid JSON"),
        ({"EXECUTOR_PROFILE": '{"pidz": 1}'}, "EXECUTOR_PROFILE is wrong at pidz: Extra inputs are not permitted"),
        ({"EXECUTOR_ENVIRONMENTS": "[]"}, "should have at least 1 item"),
        ({"EXECUTOR_ENVIRONMENTS": '["cobol"]'}, "no environment cobol; known are python, python-data, node, bash"),
        ({"EXECUTOR_ENVIRONMENTS": '{"bash": "image"}'}, "EXECUTOR_ENVIRONMENTS is wrong"),
        ({"EXECUTOR_RUNTIME": "kata"}, "there is no runtime 'kata'; known are crun, runsc"),
        ({"EXECUTOR_CONCURRENCY": "many"}, "EXECUTOR_CONCURRENCY is wrong"),
        ({"EXECUTOR_CONCURRENCY": "0"}, "sandboxes at once, from 1 to 256"),
        (
            {"EXECUTOR_POOLS": '{"python": {"min": 3, "max": 2}}'},
            "EXECUTOR_POOLS is wrong at python: min is more than max",
        ),
        ({"EXECUTOR_POOLS": '{"cobol": {"min": 1, "max": 2}}'}, "there is no environment cobol"),
        ({"EXECUTOR_POOLS": '{"bash": {"min": 1}}'}, "EXECUTOR_POOLS is wrong at bash.max"),
        ({"EXECUTOR_TIMEOUT": "3"}, "EXECUTOR_TIMEOUT is not a setting. Remove it; the settings are EXECUTOR_RUNTIME"),
    ],
)
def test_an_invalid_executor_variable_is_named_with_the_fix(changes: dict[str, str], words: str) -> None:
    assert words in executor_fault(changes)


def test_each_missing_variable_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        ExecutorSettings.read({})
    lines = str(caught.value).splitlines()
    assert [line.split(" is not set. Set it to: ")[0] for line in lines] == list(EXECUTOR)


def test_api_lists() -> None:
    settings = ApiSettings.read(
        {
            "API_PROFILE": "{}",
            "API_TRUSTED_PROXIES": '["172.20.0.0/16", "fd00::/8", "10.0.0.1"]',
            "API_ALLOWED_ORIGINS": '["https://a.example", "http://localhost:3000", "https://[::1]:8443"]',
        }
    )
    assert settings.trusted_proxies == ("172.20.0.0/16", "fd00::/8", "10.0.0.1/32")
    assert settings.allowed_origins == ("https://a.example", "http://localhost:3000", "https://[::1]:8443")


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://*.a.example",
        "https://",
        "https://a.example/",
        "https://a.example/page",
        "https://a.example?q",
        "https://a.example:443",
        "http://a.example:80",
        "https://a.example:70000",
        "https://A.example",
        "HTTPS://a.example",
        "https://me@a.example",
        "https://bücher.example",
        "a.example",
        "ftp://a.example",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    fault = api_fault({"API_ALLOWED_ORIGINS": json.dumps(["https://b.example", origin])})
    assert f"API_ALLOWED_ORIGINS is wrong at 1: {origin!r} is not an origin" in fault


@pytest.mark.parametrize(
    "store", ["memory://", "valkey://store:6379", "valkeys://store:6379/0", "valkey://[::1]:6379/2"]
)
def test_a_store_that_is_accepted_can_be_opened(store: str) -> None:
    rate_limit_store(ApiSettings.read({"API_PROFILE": "{}", "API_RATE_STORE": store}).rate_store)


@pytest.mark.parametrize(
    "store",
    [
        "redis",
        "redis://store:6379",
        "valkey://",
        "valkey://:6379",
        "valkey://store",
        "valkey://store:port",
        "valkey://store:0",
        "valkey://store:70000",
        "valkey://store/a",
        "valkey://store/0/1",
        "valkey://store?db=1",
        "valkey://user:password@store:6379",
        "valkey://[::1",
    ],
)
def test_an_invalid_store_is_refused_without_showing_its_password(store: str) -> None:
    fault = api_fault({"API_RATE_STORE": store})
    assert "valkey://host:6379/0 for several" in fault
    assert "user:password" not in fault


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"API_TRUSTED_PROXIES": '["*"]'}, "API_TRUSTED_PROXIES is wrong at 0: '*' does not appear to be"),
        ({"API_TRUSTED_PROXIES": '["10.0.0.1/8"]'}, "has host bits set"),
        ({"API_TRUSTED_PROXIES": "10.0.0.0/8"}, "API_TRUSTED_PROXIES is wrong: Invalid JSON"),
        ({"API_OTLP_ENDPOINT": "collector:4318"}, "API_OTLP_ENDPOINT is wrong"),
        ({"API_METRICS_PORT": "0"}, "from 1 to 65535"),
        ({"API_LOG_CODE": "perhaps"}, "API_LOG_CODE is wrong"),
        ({"API_REQUESTS_PER_MINUTE": "0"}, "API_REQUESTS_PER_MINUTE is wrong"),
        ({"API_PORT": "70000"}, "the port on which to listen"),
    ],
)
def test_an_invalid_api_variable_is_named(changes: dict[str, str], words: str) -> None:
    assert words in api_fault(changes)
