"""The form of a request at /mcp, without the SDK that answers it."""

from typing import Any

from app.api.operation import Document


class AgentMessage(Document):
    """A message of the Model Context Protocol, by streamable HTTP: its versions 2026-07-28 and, without sessions,
    2025-06-18. The tools are `run_code` and `list_environments`. What /execute would refuse is a result with `isError`
    and the problem document. Pictures are image content; with a progress token, output arrives as progress. The
    operator switches it on.
    """

    jsonrpc: str
    id: int | str | None = None
    """Notifications have none."""
    method: str
    params: dict[str, Any] | None = None
