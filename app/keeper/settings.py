"""The settings of the keeper. The only place in this process that reads the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from app.process.settings import FROM_JSON, ProcessSettings

Secrets = Mapping[str, Mapping[str, str]]
"""The texts of services' secrets, by service and file name."""
ROLE_ID, SECRET_ID, EXPIRES = "role-id", "secret-id", "expires"
"""Files in the folder of a service's agent: the two parts of its login, and when the token that it got ends."""


class KeeperSettings(ProcessSettings):
    """Each field is the variable KEEPER_<FIELD>."""

    prefix = "KEEPER_"

    socket: Path = Path("/run/openbao/openbao.sock")
    """the Unix socket of the vault."""
    secrets: Path = Path("/run/secrets")
    """the folder with the key of the seal (`seal-key`)."""
    services: Path = Path("/run/secrets/services.json")
    """the file with the secrets of all services."""
    logins: Path = Path("/logins")
    """the folder that has a folder for the agent of each service."""
    period_seconds: int = Field(3600, ge=1)
    """seconds after which an agent's token ends, unless it is renewed."""
    port: int = Field(9600, ge=1, le=65535)
    """the port on which to serve the metrics."""
    ready: Path = Path("/tmp/ready")  # noqa: S108 - the container's own
    """the file that is there while the vault answers."""
    changed: Annotated[Secrets | None, FROM_JSON] = None
    """for `change`: the other secrets, by service and file name."""
