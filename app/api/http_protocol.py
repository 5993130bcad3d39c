"""uvicorn's HTTP protocol, with refusals as problem documents also where a request never reaches the application."""

import sys
import uuid

from httptools import HttpParserCallbackError, HttpParserInvalidMethodError, HttpParserInvalidURLError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.process.correlation import REQUEST_ID
from app.wire.problems import Code, Refused, problem_response

_LONGEST_URL = 65535
"""Bytes. httptools holds positions in a URL as 16 bits."""
_METHODS = "GET, HEAD, POST, OPTIONS"
_HEADERS = {"Connection": "close", "X-Content-Type-Options": "nosniff"}


class HttpProtocol(HttpToolsProtocol):
    """Answers what httptools can't parse, and closes the connection."""

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn while it handles the parser's exception. `msg` is uvicorn's own text for the log."""
        refused, headers = self._refusal(sys.exc_info()[1])
        response = problem_response(refused.problem, {**_HEADERS, REQUEST_ID: uuid.uuid4().hex, **headers})
        lines = [f"HTTP/1.1 {refused.problem.status} {refused.problem.title}".encode()]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.transport.close()

    def _refusal(self, error: BaseException | None) -> tuple[Refused, dict[str, str]]:
        match error:
            case HttpParserInvalidMethodError():
                return Refused(Code.METHOD_NOT_ALLOWED, "The method of the request is unknown."), {"Allow": _METHODS}
            case HttpParserCallbackError(__context__=HttpParserInvalidURLError()) if len(self.url) > _LONGEST_URL:
                return Refused(Code.URI_TOO_LONG, f"The URL is longer than {_LONGEST_URL} bytes."), {}
            case _:
                return Refused(Code.MALFORMED_REQUEST, "What was sent is not an HTTP/1.1 request."), {}
