"""The program: the stack's config in, the platform's URLs out."""

import sys
from pathlib import Path

import pulumi

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from infra.platform import Platform
from infra.settings import SettingsError, load_settings


def main() -> None:
    try:
        settings, secrets = load_settings()
        platform = Platform(settings, secrets)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    pulumi.export("name", settings.name)
    pulumi.export("urls", platform.urls)
    pulumi.export("logins", platform.logins)
    pulumi.export("passwords", platform.passwords)
    pulumi.export("notices", settings.notices())


main()
