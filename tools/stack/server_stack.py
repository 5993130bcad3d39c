"""The stack of a server, as docs/DEPLOYMENT.md has it: its config is tracked, and state and passphrase are where the
operator's own environment says."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.machine.pulumi_toolchain import Toolchain
from tools.stack.pulumi_stack import PulumiStack


@dataclass(frozen=True)
class ServerStack(PulumiStack):
    """The stack of `Pulumi.<name>.yaml`."""

    toolchain: Toolchain
    name: str
    held: Sequence[int] = ()

    @property
    def environment(self) -> Mapping[str, str | None]:
        return operators_environment(self.toolchain)

    @property
    def config_arguments(self) -> tuple[str, ...]:
        return ()


def operators_environment(toolchain: Toolchain) -> Mapping[str, str | None]:
    """What the toolchain needs, its plugins among it, with the operator's own logins."""
    home = os.environ.get("PULUMI_HOME") or str(Path.home() / ".pulumi")
    return {"PULUMI_CREDENTIALS_PATH": os.environ.get("PULUMI_CREDENTIALS_PATH", home), **toolchain.environment}
