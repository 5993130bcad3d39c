"""Logs as one JSON object a line on stderr."""

import json
import logging
from datetime import UTC, datetime

from app.process import correlation


class JsonLines(logging.Formatter):
    """Time (UTC), level, logger, message, the request's ids, and what the caller gave as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of JSON, its traceback included."""
        request = correlation.current.get()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **(request.fields if request else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logs() -> None:
    """Send every logger of this process, the web server's included, through `JsonLines`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # These log a line for each request or connection, which may contain a visitor's address and adds nothing to ours.
    for chatty in ("httpx", "websockets", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
