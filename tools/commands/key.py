"""`make key NAME=site`: make a secret for a key of the API. It is shown once, and its hash is written to the config.

A name that has a secret already gets a second one, so that the site can change to it; with two, the older one goes.
"""

import argparse
import hashlib
import re
import secrets
from collections.abc import Sequence

from app.api.settings import NAME_OF_KEY, Key
from infra.services.sandbox import SITE_KEYS, keys_file
from tools.console.steps import Report, Runner, Step, StepFailed
from tools.paths import HOME
from tools.stack import config, lock, openbao, target
from tools.stack.config import LOCAL, PLATFORM

_KEYS = f"{PLATFORM}.sandbox.keys"
_NOT_TEXT = ("true", "false")
"""Pulumi would take these for booleans."""
_SECRET_BYTES = 32
_PREFIX = "vps_"
"""By which scanners find a secret that was published by mistake."""


def paths(keys: Sequence[Key], name: str, digest: str) -> dict[str, str]:
    """What to set in the config, by path, so that the key `name` has a secret with this hash."""
    for number, key in enumerate(keys):
        if key.name == name:
            return {
                f"{_KEYS}[{number}].secrets[{place}]": secret for place, secret in enumerate((key.secrets[-1], digest))
            }
    own = f"{_KEYS}[{len(keys)}]"
    return {f"{own}.name": name, f"{own}.secrets[0]": digest}


class NewSecret:
    """A new secret for the key `name` of a stack."""

    def __init__(self, name: str, stack: str) -> None:
        self.secret = f"{_PREFIX}{secrets.token_urlsafe(_SECRET_BYTES)}"
        self.told = ""
        self._name = name
        self._stack = stack

    def write(self, report: Report) -> str:
        """Write its hash with Pulumi's own command, which keeps the file's comments, and give it to OpenBao."""
        file = config.template_file(self._stack)
        digest = f"sha256:{hashlib.sha256(self.secret.encode()).hexdigest()}"
        found = paths(target.settings(self._stack).sandbox.keys, self._name, digest)
        target.stack(self._stack, report).set_values(found, file, report)
        self.told = openbao.give(self._stack, {SITE_KEYS: keys_file(target.settings(self._stack).sandbox)}, report)
        return f"{file.name} has the hash of a new secret of {self._name}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)
    parser.add_argument("--name", required=True)


def run(options: argparse.Namespace, runner: Runner) -> None:
    if not re.fullmatch(NAME_OF_KEY, options.name) or options.name in _NOT_TEXT:
        raise StepFailed(f"{options.name!r} can't name a key.", "NAME=site: a letter, then letters, digits, hyphens.")
    new = NewSecret(options.name, options.stack)
    with lock.exclusive(HOME, "make key"):
        runner.run([Step("Key", new.write)])
    runner.say(f"\nThe secret, which is shown only now: {new.secret}")
    runner.say(f"{new.told} Its entry in sandbox.keys says what it may do.")
