"""`python -m app.keeper` makes the vault ready, puts the services' secrets into it, and lets their agents log in.

`change` gives services the secrets in KEEPER_CHANGED, and prints which services had others.
"""

import logging
import os
import signal
import sys
import time

from prometheus_client import start_http_server

from app.keeper.keeper import Keeper
from app.keeper.settings import KeeperSettings
from app.keeper.vault import VaultFailed
from app.process.logs import configure_logs
from app.process.settings import SettingsError

_LOG = logging.getLogger("keeper")
_PAUSE_SECONDS = 3
_RETRY_SECONDS = 1


def keep(settings: KeeperSettings) -> None:
    """Do what is due, for ever. The file `settings.ready` is there while that works."""
    keeper = Keeper(settings)
    start_http_server(settings.port, registry=keeper.metrics.registry)
    said = ""
    while True:
        wrong = ""
        try:
            keeper.turn()
            settings.ready.touch()
        except VaultFailed as failure:
            wrong = str(failure)
            settings.ready.unlink(missing_ok=True)
            keeper.forget_token()
            if wrong != said:
                _LOG.warning(wrong)
        said = wrong
        keeper.metrics.answers.set(not wrong)
        time.sleep(_RETRY_SECONDS if wrong else _PAUSE_SECONDS)


def main() -> None:
    """What can't be done is refused with one clear message and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as the container's process 1 it has no default action
    configure_logs()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = KeeperSettings.read(os.environ)
        match sys.argv[1:]:
            case []:
                keep(settings)
            case ["change"]:
                keeper = Keeper(settings)
                keeper.log_in()
                print(", ".join(keeper.change(settings.changed or {})))
            case _:
                sys.exit("usage: python -m app.keeper [change]")
    except (VaultFailed, OSError, SettingsError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
