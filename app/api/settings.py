"""The api's settings: only this module of the process reads environment variables."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, StringConstraints, ValidationError

from app.api.rooms.settings import RoomsOptions
from app.environments import described
from app.packages.settings import PackagesOptions
from app.process.settings import FROM_JSON, ProcessSettings, Settings
from app.profile import SandboxProfile

_HASH = "sha256:"
SecretHash = Annotated[str, StringConstraints(pattern=rf"^{_HASH}[0-9a-f]{{64}}$")]
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


def _environment(value: str) -> str:
    if (found := described(value)) is None or found.name != value:
        raise ValueError(f"there is no environment {value!r}")
    return value


def _rate_store(value: str) -> str:
    # No user and no password, and no value in the error: whoever may inspect the container or its log reads them.
    is_url = re.fullmatch(r"valkeys?://[^/@?#\s]+(/\d+)?", value) and urlsplit(value).hostname and urlsplit(value).port
    if value != IN_MEMORY and not is_url:
        raise ValueError(f"it is neither {IN_MEMORY} nor a URL like valkey://host:6379/0, without a password")
    return value


Origin = Annotated[str, AfterValidator(_origin)]


NAME_OF_KEY = r"^[a-z][a-z0-9-]{0,31}$"


class Key(Settings):
    """A key of a site that embeds the API: what requests with one of its secrets may use together.

    With `origins` the key is public, in the pages of these: it works from them alone, and each address is counted too.
    Without, it is a secret of the site's servers, and pages can't use it. `make key NAME=site` makes one.
    """

    name: Annotated[str, StringConstraints(pattern=NAME_OF_KEY)]
    """Name of the site or program, as in logs and metrics: a letter, then letters, digits and hyphens."""
    secrets: Annotated[tuple[SecretHash, ...], Field(min_length=1, max_length=2)]
    """SHA-256 of the secret, as `make key` writes it. While a secret is replaced, of the old one and the new one."""
    origins: tuple[Origin, ...] = ()
    """Origins whose pages use the key, as in ["https://example.org"]. They may call the API without it, too."""
    requests_per_minute: int = Field(60, ge=1, le=100_000)
    """executions a minute, from all addresses together, from 1 to 100,000."""
    address_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """executions a minute for each address that uses a key with `origins`. Unset: `sandbox.requests_per_minute`."""
    concurrent_runs: int = Field(2, ge=1, le=256)
    """executions at once, those that wait for a sandbox included, from 1 to 256."""
    seconds_per_day: int = Field(3600, ge=1, le=10_000_000)
    """seconds of run time a day, which begins at midnight UTC."""
    environments: tuple[Annotated[str, AfterValidator(_environment)], ...] | None = None
    """environments that the key may use. Unset: all that are on."""
    packages: bool = True
    """whether its executions may have packages, where there are any."""

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The hashes of the secrets."""
        return tuple(bytes.fromhex(secret.removeprefix(_HASH)) for secret in self.secrets)


def _distinct(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    for kind, values in (("name", [key.name for key in keys]), ("secret", [it for key in keys for it in key.secrets])):
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise ValueError(f"{twice} is the {kind} of two keys, or twice in one")
    return keys


Keys = Annotated[tuple[Key, ...], Field(max_length=100), AfterValidator(_distinct)]
"""The keys of a stack."""


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
    allowed_origins: Annotated[tuple[Origin, ...], FROM_JSON] = ()
    """origins whose pages may call the API from a browser, as in ["https://example.org"]."""
    mcp: bool = False
    """true to let agents run code by the Model Context Protocol at /mcp. It takes 24 MB of the api's memory."""
    packages: Annotated[PackagesOptions | None, FROM_JSON] = None
    """packages that executions can ask for. Unset: none, and no service for them; {} for all of PyPI and npm."""
    rooms: Annotated[RoomsOptions | None, FROM_JSON] = None
    """rooms in which visitors edit and run together. Unset: none; {} for the defaults. They take 5 MB of the api's
    memory when nobody is there. Beside several units, and on a cluster, they are in a unit of their own."""
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
    keys_file: Path | None = None
    """the path of a JSON file with the keys, which is read again when it changes; unset is none."""
    host: str = "0.0.0.0"  # noqa: S104 - the edge is in front
    """the address on which to listen."""
    port: int = Field(8000, ge=1, le=65535)
    """the port on which to listen, from 1 to 65535."""
    metrics_port: int = Field(9000, ge=1, le=65535)
    """the port of /metrics, which nothing public may lead to, from 1 to 65535."""
    trusted_proxies: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], FROM_JSON] = ()
    """networks whose X-Forwarded-For is believed, as in ["172.20.0.0/16"]."""
    grace_seconds: int = Field(5, ge=0, le=120)
    """how long what runs may go on when the api is told to stop, from 0 to 120 s. It takes nothing new meanwhile."""
    packages_socket: Path = Path("/run/packages/packages.sock")
    """the path of the packages service's Unix socket, where there are packages."""
    rooms_folder: Path | None = None
    """the path of the folder with the rooms' file; unset where there are no rooms, or where another unit has them."""
    linger_seconds: int = Field(0, ge=0, le=60)
    """how long the api serves on before that, from 0 to 60 s: until the edge sends its requests elsewhere."""
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^/]+$")] | None = None
    """the URL of an OTLP/HTTP collector for traces, as in http://collector:4318; unset is none."""
