"""Changed secrets for the services of a stack that has `services.openbao`: its keeper puts them into OpenBao."""

from collections.abc import Mapping

import docker

from infra.services.catalog import running
from infra.services.openbao import KEEPER, SECONDS_TO_NOTICE, change, held
from tools.console.steps import Report, StepFailed
from tools.stack import config, docker_objects, health, target


def give(stack: str, values: Mapping[str, str], report: Report) -> str:
    """Give the services their changed secrets, by name. Returns a sentence about it. It is left to `up` where the stack
    has no OpenBao that runs, or no service with such a secret.

    Raises:
        StepFailed: OpenBao does not answer, or refuses.
    """
    settings, later = target.settings(stack), f"`make up{config.argument(stack)}` puts it in force."
    texts = {
        it.name: {file: own.text(values[own.name]) for file, own in held(it, settings).items() if own.name in values}
        for it in running(settings)
    }
    changed = {service: files for service, files in texts.items() if files}
    if not changed:
        return later
    code: int | None
    with target.docker(settings, report) as engine:
        client = engine.client()
        keepers = [it.container for it in health.services(client, settings.name) if it.service == KEEPER.name]
        if not keepers:
            return later
        command, environment = change(changed)
        try:
            code, said = docker_objects.execute(client, keepers[0], command, environment)
        except docker.errors.APIError as error:
            code, said = error.status_code, str(error.explanation)
    if code:
        raise StepFailed(
            f"The stack's config has it, and OpenBao has not: {said}",
            f"docs/OPERATIONS.md, OpenBaoAway, tells more. Once it answers: {later}",
        )
    return f"OpenBao has it, and within {SECONDS_TO_NOTICE} s so has {said}." if said else later
