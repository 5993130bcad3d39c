"""A stack with its state, passphrase and generated config in a folder of its own, on Pulumi's file backend."""

import contextlib
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.settings import PlatformSettings
from tools.build.images import ImageSet
from tools.console.steps import Report, StepFailed
from tools.machine import process
from tools.machine.docker_engine import DockerEngine
from tools.paths import HOME, private_folder, write_private
from tools.stack import config, docker_objects
from tools.stack.pulumi_stack import PulumiStack

_PROJECT = "name: vps\nruntime: python\n"
_OWN_IDS = tuple(f"docker:index/{kind.lower()}:{kind}" for kind in ("Container", "Network", "Volume"))
PASSWORD_BYTES = 18
"""Random bytes of a generated password, which makes 24 characters."""
_START_OVER = "If it is lost, `make down FORGET=1` removes the stack without it (data volumes stay); then `make up`."


@dataclass(frozen=True)
class HomeStack(PulumiStack):
    """A stack whose state, passphrase and generated config are in `home`.

    `template` names the tracked config file (`Pulumi.<template>.yaml`); `overrides` are merged into its
    `vps:platform`, so that tests run the same program under another name, home and port.
    """

    home: Path = field(default=HOME, kw_only=True)
    template: str = field(default=config.LOCAL, kw_only=True)
    overrides: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def settings(self) -> PlatformSettings:
        return config.settings(self.template, self.overrides, self.name)

    @property
    def prefix(self) -> str:
        """The value of the label `vps.stack` on everything of this stack."""
        return self.settings.name

    @property
    def config_file(self) -> Path:
        return config_file(self.home, self.name)

    @property
    def passphrase_file(self) -> Path:
        return self.home / "passphrase"

    @property
    def environment(self) -> Mapping[str, str | None]:
        # Pulumi replaces the state's file in one step, but not the file of attributes that it keeps beside it without
        # the option: killed meanwhile, it leaves that one empty, and the next can't load the state ("EOF").
        return {
            **self.toolchain.environment,
            "PULUMI_BACKEND_URL": f"file://{(self.home / 'state').resolve()}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase_file.resolve()),
            "PULUMI_CONFIG_PASSPHRASE": None,  # it would override the file
        }

    @property
    def config_arguments(self) -> tuple[str, ...]:
        return ("--config-file", str(self.config_file))

    def configure_with(self, machine: Mapping[str, Any], report: Report) -> None:
        """Create the stack if there is none, and write its config with these values of the machine's. Secrets are
        generated once."""
        private_folder(self.home)
        (self.home / "state").mkdir(exist_ok=True)
        previous = config.load(self.config_file)
        self._ensure_passphrase(previous)
        if config.SALT not in previous:
            previous[config.SALT] = self._init(report)
        template = config.load(config.template_file(self.template))
        content = config.compose(template, machine, self.overrides, previous)
        write_private(self.config_file, config.render(content, self.template))
        for key in config.GENERATED:
            if key not in (previous.get("config") or {}):
                self.set_secret(key, secrets.token_urlsafe(PASSWORD_BYTES), report)

    def destroy(self, report: Report) -> str:
        """Remove the resources in the state. Does nothing when the stack was never created."""
        return super().destroy(report) if self.config_file.exists() else ""

    def unlock(self, report: Report) -> list[str]:
        """Remove a lock of Pulumi's backend: the caller holds the stack's own. Returns what was done."""
        if any((self.home / "state" / ".pulumi" / "locks").rglob("*.json")):
            self._run("cancel", "--yes", report=report)
            return ["removed a stale lock"]
        return []

    def _ensure_passphrase(self, previous: Mapping[str, Any]) -> None:
        if self.passphrase_file.exists():
            return
        if config.SALT in previous:
            raise StepFailed(
                f"The passphrase file {self.passphrase_file} is gone, and the stack's secrets are encrypted with it.",
                f"Put it back. {_START_OVER}",
            )
        write_private(self.passphrase_file, secrets.token_urlsafe(32))

    def _init(self, report: Report) -> str:
        """Create the stack. Returns its encryption salt, from the state if an earlier attempt has created the stack."""
        # Pulumi writes the salt next to the project file. With one in `home`, the tracked file is unchanged.
        (self.home / "Pulumi.yaml").write_text(_PROJECT)
        try:
            self._pulumi("stack", "init", "--no-select", cwd=self.home, report=report)
        except process.CommandFailed as error:
            if "already exists" not in error.output:
                raise self._explain(error, report) from error
        return str(self.export(report)["secrets_providers"]["state"]["salt"])

    @property
    def causes(self) -> Mapping[str, tuple[str, str]]:
        missing = (f"There is no stack {self.name} yet.", "Run `make up`, which makes it, then run this again.")
        return {
            "unable to open bucket": missing,
            "no stack named": missing,
            "incorrect passphrase": (
                f"The passphrase in {self.passphrase_file} is not the one that the stack was encrypted with.",
                f"Put the old one back. {_START_OVER}",
            ),
            "failed to load checkpoint": (
                f"The stack's state in {self.home / 'state'} can't be read.",
                f"Restore its backup: Pulumi keeps one beside it, *.json.bak. {_START_OVER}",
            ),
        }


@dataclass(frozen=True)
class Stack(HomeStack):
    """A `HomeStack` on Docker."""

    engine: DockerEngine

    def configure(self, images: ImageSet, report: Report) -> None:
        """See `configure_with`: this machine provides its Docker and the images in it."""
        self.configure_with(config.machine_values(self.engine, images), report)

    def mend(self, report: Report) -> list[str]:
        """Repair what an interrupted command left. Returns what was done, for the user.

        An interrupted creation may have left something that is not in the state and whose name is taken: it is removed.
        Resources of the state that Docker no longer has are refreshed.
        """
        done = self.unlock(report)
        state = self.export(report)
        if dropped := self.drop_unhealthy(state, lambda: contextlib.nullcontext(self.engine), report):
            done.append(dropped)
            state = self.export(report)
        known = {resource["id"] for resource in state.get("resources", ()) if resource["type"] in _OWN_IDS}
        found = docker_objects.find(self.engine.client(), self.prefix)
        if state.get("pending_operations") or known - found.ids:
            report.say("refreshing the state")
            self.refresh(report)
            done.append("refreshed the state after an interrupted command")
        if orphans := found.without(known):
            docker_objects.remove(self.engine.client(), orphans)
            done.append(f"removed {', '.join(orphans.names)}")
        return done


def config_file(home: Path, name: str) -> Path:
    """The generated config of a stack. It exists once the stack was created."""
    return home / f"Pulumi.{name}.yaml"


def forget(home: Path, name: str) -> None:
    """Delete a stack's state, passphrase and generated config. What Docker has of it is found by its labels."""
    shutil.rmtree(home / "state", ignore_errors=True)
    config_file(home, name).unlink(missing_ok=True)
    (home / "passphrase").unlink(missing_ok=True)
