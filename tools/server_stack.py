"""The stack of a server, as docs/DEPLOYMENT.md has it: its config is tracked, and state and passphrase are where the
operator's own environment says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.pulumi_stack import PulumiStack
from tools.toolchain import Toolchain


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
    """What the toolchain needs, with the operator's own logins instead of a Pulumi home of ours."""
    return {key: value for key, value in toolchain.environment.items() if key != "PULUMI_HOME"}
