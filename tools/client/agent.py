"""A call of the Model Context Protocol, without its SDK."""

import json
from collections.abc import Mapping

_PROTOCOL = "2026-07-28"


def run_code(arguments: Mapping[str, object]) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a call of run_code in the current version of the Model Context Protocol."""
    about = "io.modelcontextprotocol/"
    meta = {f"{about}protocolVersion": _PROTOCOL, f"{about}clientCapabilities": {}}
    call = {"name": "run_code", "arguments": arguments, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
    headers = {"MCP-Protocol-Version": _PROTOCOL, "Mcp-Method": "tools/call", "Mcp-Name": "run_code"}
    return body.encode(), {**headers, "Accept": "application/json, text/event-stream"}
