"""Media types and codings in a request's headers: those of its body, and those that it accepts in the answer."""

import math
from email.message import Message
from functools import lru_cache

from starlette.datastructures import Headers

from app.wire.problems import Code, Refused

JSON = "application/json"
_UTF_8 = (None, "utf-8", "utf8")
_NO_CODING = ("", "identity")
_HEADERS = 16
"""How many different headers of a kind are remembered with what they mean. Nearly all clients send the same few."""


def require_json(headers: Headers) -> None:
    """Raise `Refused`, with status 415, unless the headers say that the body is uncompressed JSON in UTF-8.

    This keeps pages of foreign origins from running code: browsers send text/plain and forms to any origin without a
    preflight request, but not application/json (Fetch standard, CORS-safelisted request headers).
    """
    coding = headers.get("Content-Encoding", "").strip().lower()
    if coding not in _NO_CODING:
        raise Refused(
            Code.UNSUPPORTED_MEDIA_TYPE, f"The body is compressed (Content-Encoding: {coding}); send it uncompressed."
        )
    media_type, charset = _content(headers.get("Content-Type", ""))
    if media_type != JSON:
        raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, f"The body must be JSON, with Content-Type: {JSON}.")
    if charset not in _UTF_8:
        raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, f"JSON is UTF-8, and the Content-Type says charset={charset}.")


@lru_cache(_HEADERS)
def _content(content_type: str) -> tuple[str, str | None]:
    """The media type and the charset of a Content-Type header."""
    content = Message()
    content["Content-Type"] = content_type
    return content.get_content_type(), content.get_content_charset()


@lru_cache(_HEADERS)
def preferred(accept: str, offered: tuple[str, ...]) -> str:
    """The media type among `offered` that an Accept header prefers, or the coding that Accept-Encoding does.

    RFC 9110, sections 12.5.1 and 12.5.3. The highest weight wins; among equal weights the more specific range, then the
    earlier one. Without a preference, or when the header accepts none of them, it is the first of `offered`.
    """
    ranges = [found for position, item in enumerate(accept.split(",")) if (found := _range(item, position))]

    def rank(media_type: str) -> tuple[float, int, int]:
        kind = media_type.partition("/")[0]
        specificity = {"*": 0, "*/*": 0, f"{kind}/*": 1, media_type: 2}
        # The most specific range that matches a type gives its weight, also when a wildcard has a higher one.
        matching = [(specificity[name], -position, q) for name, q, position in ranges if name in specificity]
        level, order, weight = max(matching, default=(0, 0, 0.0))
        return weight, level, order

    best = max(offered, key=rank)
    return best if rank(best)[0] > 0 else offered[0]


def accepted(headers: Headers, offered: tuple[str, ...]) -> str:
    """The media type among `offered` that a request's Accept headers together prefer; see `preferred`."""
    return preferred(",".join(headers.getlist("Accept")), offered)


def _range(item: str, position: int) -> tuple[str, float, int] | None:
    """Name, weight and position of one media range; None when the weight is not a number from 0 to 1."""
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    weight = next((value for key, _, value in (it.partition("=") for it in parameters) if key.strip() == "q"), "1")
    try:
        q = float(weight)
    except ValueError:
        q = math.nan
    return (name, q, position) if 0 <= q <= 1 else None
