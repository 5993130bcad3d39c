"""The api's settings. The only place in this process that reads the environment."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Json

from app.process.settings import Settings, read_settings
from app.profile import SandboxProfile

PREFIX = "API_"


def _split(value: object) -> object:
    """The items of a comma-separated variable; defaults are tuples already."""
    return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(value)) for value in values)


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or value != f"{parts.scheme}://{parts.netloc}" or "*" in value:
            raise ValueError(f"{value!r} is not an origin")
    return values


class ApiSettings(Settings):
    """Each field is the variable API_<FIELD>."""

    profile: Json[SandboxProfile] = Field(description="the JSON of the executor's SandboxProfile; {} is the floor.")
    executor_socket: Path = Field(
        Path("/run/executor/executor.sock"), description="the path of the executor's Unix socket."
    )
    host: str = Field("0.0.0.0", description="the address on which to listen.")  # noqa: S104 - the edge is in front
    port: int = Field(8000, ge=1, le=65535, description="the port on which to listen, from 1 to 65535.")
    requests_per_minute: int = Field(10, ge=1, description="executions a minute for each client address, at least 1.")
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_networks)] = Field(
        (), description="networks whose X-Forwarded-For is believed, separated by commas, as in 172.20.0.0/16."
    )
    metrics_port: int = Field(
        9000, ge=1, le=65535, description="the port of /metrics, which nothing public may lead to, from 1 to 65535."
    )
    rate_store: Annotated[str, Field(pattern=r"^(memory://|valkeys?://[^/]+(/\d+)?)$")] = Field(
        "memory://",
        description="where requests are counted: memory:// for one replica, valkey://host:6379/0 for several.",
    )
    refuse_patterns: bool = Field(
        False, description="true to refuse code that looks dangerous instead of warning. Isolation doesn't need it."
    )
    log_code: bool = Field(False, description="true to put visitors' code, which may be private, into the log.")
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^/]+$")] | None = Field(
        None, description="the URL of an OTLP/HTTP collector for traces, as in http://collector:4318; unset is none."
    )
    allowed_origins: Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_origins)] = Field(
        (), description="origins whose pages may call this API, separated by commas, as in https://example.org."
    )


def api_settings(environ: Mapping[str, str]) -> ApiSettings:
    """The settings in `environ`, or `SettingsError` that names each variable at fault."""
    return read_settings(ApiSettings, PREFIX, environ)
