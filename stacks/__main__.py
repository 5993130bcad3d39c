"""The Pulumi program: makes the platform that the stack's config describes, and exports its URLs and logins."""

import sys
from pathlib import Path

import pulumi

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from infra.config import load_settings
from infra.platform import Platform


def main() -> None:
    settings, secrets = load_settings()
    platform = Platform(settings, secrets)
    pulumi.export("name", settings.name)
    pulumi.export("urls", platform.urls)
    pulumi.export("logins", platform.logins)
    pulumi.export("passwords", platform.passwords)
    pulumi.export("notices", settings.notices())


main()
