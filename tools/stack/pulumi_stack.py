"""Pulumi's commands on one stack of the program. `preview` and `up` run the policy pack."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.console.steps import Report, StepFailed
from tools.machine import process
from tools.machine.docker_engine import DockerEngine
from tools.machine.pulumi_toolchain import Toolchain
from tools.paths import ROOT
from tools.stack import config, docker_objects

POLICIES = ROOT / "policies"
CONTAINER = "docker:index/container:Container"
_VARIABLES = "set -a; . ./.env; set +a (docs/DEPLOYMENT.md, State, passphrase, stack)"
_CAUSES = {
    "must be set for login": (
        "Nothing tells where the state is: PULUMI_BACKEND_URL is not set, and you are logged in nowhere.",
        f"Set it, as .env.example shows, then run this again: {_VARIABLES}.",
    ),
    "passphrase must be set with": (
        "PULUMI_CONFIG_PASSPHRASE_FILE is not set, and nor is PULUMI_CONFIG_PASSPHRASE.",
        f"Set one of them, as .env.example shows, then run this again: {_VARIABLES}.",
    ),
    "unable to read PULUMI_CONFIG_PASSPHRASE_FILE": (
        "The file that PULUMI_CONFIG_PASSPHRASE_FILE names can't be read.",
        "Put it back, or name the right one, then run this again.",
    ),
    "incorrect passphrase": (
        "The passphrase is not the one that the stack's secrets are encrypted with.",
        "Set the right one in PULUMI_CONFIG_PASSPHRASE_FILE or PULUMI_CONFIG_PASSPHRASE, then run this again.",
    ),
    "neither VAULT_SERVER_URL nor VAULT_ADDR": (
        "VAULT_ADDR is not set, and a key in a vault encrypts the stack's secrets.",
        f"Set it and VAULT_TOKEN, as .env.example shows, then run this again: {_VARIABLES}.",
    ),
    "is sealed": (
        "The vault is sealed, whose key encrypts the stack's secrets.",
        "Have its administrator unseal it (bao operator unseal), then run this again.",
    ),
    "Code: 403. Errors": (
        "The vault refuses the token, or does not let it use the key that encrypts the stack's secrets.",
        "See how long VAULT_TOKEN is valid (bao token lookup); if it has ended, have another one made "
        "(docs/DEPLOYMENT.md, A vault in place of the passphrase). Then run this again.",
    ),
    "Code: 400. Errors": (
        "The vault can't decrypt the key of the stack's secrets: it has another key, or that version of it is retired.",
        "Put back the current Pulumi.<name>.yaml and state, or have the vault's administrator lower the key's "
        "min_decryption_version. Then run this again.",
    ),
    "/decrypt/": (
        "The vault does not answer, whose key encrypts the stack's secrets.",
        "Start it, or correct VAULT_ADDR (bao status tells), then run this again.",
    ),
    "no stack named": (
        "There is no such stack in the backend that PULUMI_BACKEND_URL or your login names.",
        "Name the right backend, or create the stack: make pulumi, then . .vps/pulumi.env and "
        "pulumi stack init <name>.",
    ),
    "stack is currently locked": (
        "Another `up`, `refresh` or `destroy` of this stack runs, or one was killed.",
        "Wait until it ends. If none runs: make pulumi, then . .vps/pulumi.env and pulumi cancel --stack <name>.",
    ),
}
"""By what Pulumi says: the cause and the fix."""
_UNSET = re.compile(r"configuration key 'vps:(\S+)' not found for stack")
# How Pulumi prints, in the progress and in the diagnostics, that a service's container was not healthy in time: the
# provider's words follow the container's name with no other resource of Docker's between.
_UNHEALTHY = re.compile(
    r"docker:index:Container \(?(\S+)-container\b(?:(?!docker:index:).)*?failed to be in healthy state", re.DOTALL
)
# How Pulumi prints a violation of the policy pack (see policies/rules.py).
_REFUSAL = re.compile(r"\[mandatory\]\s+(\S+).*?Found: (.*?) Fix: ([^\n]*)", re.DOTALL)


@dataclass(frozen=True)
class PulumiStack:
    """The stack of `Pulumi.<name>.yaml`, as docs/DEPLOYMENT.md describes a server's: that config is tracked, and the
    operator's environment tells Pulumi where state and passphrase are. The local stack is a subclass.

    `held` are file descriptors that Pulumi inherits (see `tools.stack.lock`). Every method raises StepFailed when
    Pulumi fails.
    """

    toolchain: Toolchain
    name: str
    held: Sequence[int] = field(default=(), kw_only=True)

    @property
    def environment(self) -> Mapping[str, str | None]:
        """The variables for Pulumi, added to our own environment."""
        return operators_environment(self.toolchain)

    @property
    def config_arguments(self) -> tuple[str, ...]:
        """The arguments that tell Pulumi where the config is; empty where it is at its default place."""
        return ()

    @property
    def causes(self) -> Mapping[str, tuple[str, str]]:
        """What can be wrong with the stack itself: the cause and the fix by what Pulumi says."""
        return {said: (cause, fix.replace("<name>", self.name)) for said, (cause, fix) in _CAUSES.items()}

    def preview(self, report: Report, *arguments: str) -> str:
        """What `up` would change, as text. `arguments` are passed to Pulumi, for instance `--expect-no-changes`."""
        return self._run("preview", "--policy-pack", str(POLICIES), *self.config_arguments, *arguments, report=report)

    def up(self, report: Report) -> str:
        """Deploy the program. A preview runs first, so that a policy violation changes nothing."""
        return self._run("up", "--yes", "--policy-pack", str(POLICIES), *self.config_arguments, report=report)

    def up_only(self, patterns: Iterable[str], report: Report) -> str:
        """Deploy the resources whose URN matches a pattern. Before that, the policy pack checks the whole program, of
        which it would see only these inputs now."""
        self.preview(report)
        targets = (argument for pattern in patterns for argument in ("--target", pattern))
        return self._run("up", "--yes", "--skip-preview", *targets, *self.config_arguments, report=report)

    def destroy(self, report: Report) -> str:
        """Remove the resources in the state."""
        return self._run("destroy", "--yes", "--skip-preview", *self.config_arguments, report=report)

    def refresh(self, report: Report) -> str:
        """Read the real resources into the state, and clear creations that were interrupted."""
        flags = ("--yes", "--skip-preview", "--clear-pending-creates")
        return self._run("refresh", *flags, *self.config_arguments, report=report)

    def has_drifted(self, report: Report) -> bool:
        """Whether the real resources differ from the state."""
        try:
            self._pulumi("refresh", "--preview-only", "--expect-no-changes", *self.config_arguments, report=report)
        except process.CommandFailed as error:
            if "no changes were expected" in error.output:
                return True
            raise self._explain(error, report) from error
        return False

    def outputs(self, report: Report, show_secrets: bool = False) -> dict[str, Any]:
        """The outputs of the program. Secret values are masked unless `show_secrets`."""
        shown = ("--show-secrets",) if show_secrets else ()
        outputs: dict[str, Any] = json.loads(self._capture("stack", "output", "--json", *shown, report=report))
        return outputs

    def secret(self, key: str, report: Report) -> str:
        """A secret value of the config, in clear."""
        return self._capture("config", "get", key, *self.config_arguments, report=report).strip()

    def set_secret(self, key: str, value: str, report: Report) -> None:
        """Put a secret value into the config, encrypted."""
        self._run("config", "set", "--secret", key, *self.config_arguments, stdin=value, report=report)

    def set_values(self, values: Mapping[str, str], file: Path, report: Report) -> None:
        """Put texts that are no secrets into a config file, by their paths. The file keeps its comments."""
        pairs = [argument for path, value in values.items() for argument in ("--plaintext", f"{path}={value}")]
        self._run("config", "set-all", "--config-file", str(file), "--path", *pairs, report=report)

    def export(self, report: Report) -> dict[str, Any]:
        """The state's deployment: `resources`, `pending_operations`, ..."""
        return self._exported(report).get("deployment") or {}

    def edit(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]], report: Report) -> int:
        """Change the state's deployment. Returns the number of resources that it has less."""
        exported = self._exported(report)
        before = exported.get("deployment") or {}
        after = change(before)
        if after != before:
            self._run("stack", "import", report=report, stdin=json.dumps({**exported, "deployment": after}))
        return len(before.get("resources") or ()) - len(after.get("resources") or ())

    def drop_unhealthy(
        self, state: Mapping[str, Any], docker: Callable[[], AbstractContextManager[DockerEngine]], report: Report
    ) -> str:
        """Remove containers that never got healthy, so that the next `up` makes them anew. Returns what was done.

        Those that were to be replaced serve on. Docker is asked for only when there is something to remove.
        """
        resources = state.get("resources", ())
        unhealthy = [it for it in resources if it.get("initErrors") and it["type"] == CONTAINER]
        if not unhealthy:
            return ""
        with docker() as engine:
            for it in unhealthy:
                docker_objects.remove_container(engine.client(), it["id"])
        self.refresh(report)
        return f"removed what never got healthy: {', '.join(it['outputs']['name'] for it in unhealthy)}"

    def _run(self, *arguments: str, report: Report, stdin: str = "") -> str:
        try:
            return self._pulumi(*arguments, report=report, stdin=stdin)
        except process.CommandFailed as error:
            raise self._explain(error, report) from error

    def _pulumi(self, *arguments: str, report: Report, stdin: str = "", cwd: Path = ROOT) -> str:
        # Pulumi takes this variable for `--yes`, which `--preview-only` does not go with.
        environment = {**self.environment, "PULUMI_SKIP_CONFIRMATIONS": None}
        return process.run(self._argv(arguments), report, environment=environment, cwd=cwd, stdin=stdin, held=self.held)

    def _exported(self, report: Report) -> dict[str, Any]:
        exported: dict[str, Any] = json.loads(self._capture("stack", "export", report=report))
        return exported

    def _capture(self, *arguments: str, report: Report) -> str:
        try:
            return process.capture(self._argv(arguments), report, environment=self.environment, held=self.held)
        except process.CommandFailed as error:
            raise self._explain(error, report) from error

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        return [str(self.toolchain.pulumi), *arguments, "--stack", self.name, "--non-interactive", "--color", "never"]

    def _explain(self, error: process.CommandFailed, report: Report) -> StepFailed:
        if refusals := sorted(set(_REFUSAL.findall(error.output))):
            found = "\n".join(f"  {rule}: {finding}" for rule, finding, _ in refusals)
            fixes = " ".join(dict.fromkeys(fix for *_, fix in refusals))
            return StepFailed(f"The policy pack refuses this stack.\n{found}", fixes)
        if unset := _UNSET.search(error.output):
            fix = f"Set it: make secret KEY={unset[1]}{config.argument(self.name)}"
            return StepFailed(f"The stack has no secret {unset[1]}.", fix)
        if unhealthy := list(dict.fromkeys(_UNHEALTHY.findall(error.output))):
            logs = ", ".join(f"make logs SERVICE={service}{config.argument(self.name)}" for service in unhealthy)
            return StepFailed(
                f"The new {', '.join(unhealthy)} did not get healthy. What was to be replaced serves on.",
                f"See why in the log ({logs}), and for an api in the executor's. Mend it, or put back what was "
                "changed; the next make up removes the new one first.",
                report.log,
            )
        for text, (cause, fix) in self.causes.items():
            if text in error.output:
                return StepFailed(cause, fix, report.log)
        said = error.output.splitlines()
        cause = next((line.partition("error: ")[2] for line in said if "error: " in line), f"{error}.")
        fix = "Fix the cause above and run it again; it resumes where it stopped."
        return StepFailed(cause, fix, report.log)


def changes(said: str) -> str:
    """Pulumi's count of changes, from the last summary in its output."""
    lines = said.splitlines()
    start = max((number for number, line in enumerate(lines) if line.startswith("Resources:")), default=len(lines))
    counts = [line.strip() for line in lines[start + 1 :] if line.startswith("    ")]
    return ", ".join(counts) or "done"


def operators_environment(toolchain: Toolchain) -> Mapping[str, str | None]:
    """The variables that the toolchain and its plugins need, with the operator's own logins."""
    home = os.environ.get("PULUMI_HOME") or str(Path.home() / ".pulumi")
    return {"PULUMI_CREDENTIALS_PATH": os.environ.get("PULUMI_CREDENTIALS_PATH", home), **toolchain.environment}
