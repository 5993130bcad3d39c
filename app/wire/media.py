"""What the headers of a request say about formats: the one of its body, and those that its sender accepts."""

import math
from collections.abc import Sequence
from email.message import Message

from starlette.datastructures import Headers

from app.wire.problems import Code, Refused

JSON = "application/json"
_UTF_8 = (None, "utf-8", "utf8")
_NO_CODING = ("", "identity")


def require_json(headers: Headers) -> None:
    """Return when the body is JSON in UTF-8 by its own headers, else raise `Refused` with status 415.

    Browsers let a page of any origin send text/plain and forms without a preflight request, but not this type: to
    insist on it is what keeps foreign pages from running code (Fetch standard, CORS-safelisted request headers).
    """
    coding = headers.get("Content-Encoding", "").strip().lower()
    if coding not in _NO_CODING:
        raise Refused(
            Code.UNSUPPORTED_MEDIA_TYPE, f"The body is compressed (Content-Encoding: {coding}); send it uncompressed."
        )
    content = Message()
    content["Content-Type"] = headers.get("Content-Type", "")
    if content.get_content_type() != JSON:
        raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, f"The body must be JSON, with Content-Type: {JSON}.")
    if (charset := content.get_content_charset()) not in _UTF_8:
        raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, f"JSON is UTF-8, and the Content-Type says charset={charset}.")


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The media type among `offered` that an Accept header asks for (RFC 9110, section 12.5.1).

    The one with the highest weight; among equals, the one that is named most specifically, then first. Without a
    preference, or when nothing on offer is acceptable, the first of `offered`.
    """
    ranges = [found for position, item in enumerate(accept.split(",")) if (found := _range(item, position))]

    def rank(media_type: str) -> tuple[float, int, int]:
        kind = media_type.partition("/")[0]
        specificity = {"*/*": 0, f"{kind}/*": 1, media_type: 2}
        # The most specific range that covers a type decides about it, whatever the weights of the others are.
        matching = [(specificity[name], -position, q) for name, q, position in ranges if name in specificity]
        level, order, weight = max(matching, default=(0, 0, 0.0))
        return weight, level, order

    best = max(offered, key=rank)
    return best if rank(best)[0] > 0 else offered[0]


def _range(item: str, position: int) -> tuple[str, float, int] | None:
    """Name, weight and place of one media range; None when its weight is no number from 0 to 1."""
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    weight = next((value for key, _, value in (it.partition("=") for it in parameters) if key.strip() == "q"), "1")
    try:
        q = float(weight)
    except ValueError:
        q = math.nan
    return (name, q, position) if 0 <= q <= 1 else None
