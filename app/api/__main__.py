"""Start the api: `python -m app.api`."""

import os
import sys

import uvicorn

from app.api.executor_client import executor_transport
from app.api.server import build_api
from app.api.settings import api_settings
from app.configuration import SettingsError
from app.logs import configure_logs

_GRACE_SECONDS = 5


def main() -> None:
    """Serve until a signal. Settings that can't be used are refused with one clear message and exit code 1."""
    try:
        settings = api_settings(os.environ)
    except SettingsError as error:
        sys.exit(f"The api can't start; its settings are at fault:\n{error}")
    configure_logs()
    uvicorn.run(
        build_api(settings, executor_transport(str(settings.executor_socket))),
        host=settings.host,
        port=settings.port,
        # The application reads X-Forwarded-For itself, from API_TRUSTED_PROXIES alone.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


if __name__ == "__main__":
    main()
