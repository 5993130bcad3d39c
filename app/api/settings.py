"""The api's settings: only this module of the process reads environment variables."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, ValidationError

from app.process.settings import FROM_JSON, ProcessSettings, Settings
from app.profile import SandboxProfile

IN_MEMORY = "memory://"
"""The URL of a store in this process."""


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value))


def _origin(value: str) -> str:
    """An origin as browsers serialise it: scheme, host and, unless it is the scheme's own, port (RFC 6454, 6.2)."""
    try:
        url = HttpUrl(value)
    except ValidationError:
        url = None
    if url is None or url.username or url.password or "*" in value or str(url) != f"{value}/":
        raise ValueError(f"{value!r} is not an origin as browsers send it, like https://example.org")
    return value


def _rate_store(value: str) -> str:
    # No user and no password, and no value in the error: whoever may inspect the container or its log reads them.
    is_url = re.fullmatch(r"valkeys?://[^/@?#\s]+(/\d+)?", value) and urlsplit(value).hostname and urlsplit(value).port
    if value != IN_MEMORY and not is_url:
        raise ValueError(f"it is neither {IN_MEMORY} nor a URL like valkey://host:6379/0, without a password")
    return value


class ApiOptions(Settings):
    """The part that the operator chooses: these fields are keys of `sandbox` in the stack's config too."""

    requests_per_minute: int = Field(10, ge=1)
    """executions a minute for each client address, at least 1."""
    batch_at_once: int = Field(2, ge=1, le=100)
    """inputs of one batch that run at once, from 1 to 100. Fewer than `concurrency` leave sandboxes for others."""
    rate_store: Annotated[str, AfterValidator(_rate_store)] = IN_MEMORY
    """where requests are counted and answers kept: memory:// for one replica of the api, valkey://host:6379/0 for
    several; valkey://valkey:6379/0 is one that the stack runs."""
    repeats_mb: int = Field(16, ge=1, le=64)
    """memory for the answers that an Idempotency-Key may ask for again within ten minutes, from 1 to 64 MB. The oldest
    go first."""
    allowed_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], FROM_JSON] = ()
    """origins whose pages may call the API from a browser, as in ["https://example.org"]."""
    refuse_patterns: bool = False
    """true to refuse code that looks dangerous instead of warning. Isolation doesn't need it."""
    log_code: bool = False
    """true to put visitors' code, which may be private, into the log."""


class ApiSettings(ApiOptions, ProcessSettings):
    """Each field is the variable API_<FIELD>."""

    prefix = "API_"

    profile: Annotated[SandboxProfile, FROM_JSON]
    """the JSON of the executor's SandboxProfile; {} is the floor."""
    executor_socket: Path = Path("/run/executor/executor.sock")
    """the path of the executor's Unix socket."""
    host: str = "0.0.0.0"  # noqa: S104 - the edge is in front
    """the address on which to listen."""
    port: int = Field(8000, ge=1, le=65535)
    """the port on which to listen, from 1 to 65535."""
    metrics_port: int = Field(9000, ge=1, le=65535)
    """the port of /metrics, which nothing public may lead to, from 1 to 65535."""
    trusted_proxies: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], FROM_JSON] = ()
    """networks whose X-Forwarded-For is believed, as in ["172.20.0.0/16"]."""
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^/]+$")] | None = None
    """the URL of an OTLP/HTTP collector for traces, as in http://collector:4318; unset is none."""
