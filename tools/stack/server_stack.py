"""The stack of a server, as docs/DEPLOYMENT.md describes it: its config is tracked, and the operator's environment
tells Pulumi where state and passphrase are."""

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
    """The variables that the toolchain and its plugins need, with the operator's own logins."""
    home = os.environ.get("PULUMI_HOME") or str(Path.home() / ".pulumi")
    return {"PULUMI_CREDENTIALS_PATH": os.environ.get("PULUMI_CREDENTIALS_PATH", home), **toolchain.environment}
