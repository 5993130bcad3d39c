"""No secrets in environment variables: `docker inspect` and crash reports show them."""

import re
from collections.abc import Iterator

from policies.inputs import Inputs
from policies.rules import rule

_SECRET_NAME = re.compile(r"(^|_)(PASSWORD|PASSWD|PASSPHRASE|PASS|SECRET|TOKEN|KEY|APIKEY|CREDENTIALS?)(_|$)", re.I)
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@", re.I)


@rule("container-credentials", cis="4.10")
def credentials(inputs: Inputs) -> Iterator[str]:
    """No secret is in a container's environment.

    Fix: Put the secret in a file of the service's configuration, and name its path in a variable that ends in _FILE.
    """
    # Variables with values that are unknown at preview are checked by the update. Findings never contain a value.
    for name, value in inputs.environment:
        is_path = name.upper().endswith("_FILE") and value.startswith("/")
        if value and _SECRET_NAME.search(name) and not is_path:
            yield f"the variable {name} has the name of a secret and an inline value"
        elif _URL_WITH_PASSWORD.search(value):
            yield f"the variable {name} contains a URL with a password"
