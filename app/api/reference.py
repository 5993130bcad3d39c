"""/openapi.json, and /docs: the same as plain HTML, without a script."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.api.openapi import Body, Operation, Schema, document

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: auto; padding: 1rem }
h2 { margin-top: 2.5rem; border-top: 1px solid; padding-top: 1rem }
h2 b { font-size: .8em; border: 1px solid; border-radius: .3rem; padding: 0 .4rem }
code, pre, h2, h3 { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884 }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}


def with_documentation(table: Sequence[Operation]) -> tuple[Operation, ...]:
    """The table and the two operations that describe it, themselves included. Both answers are written once."""

    async def openapi(_: Request) -> Response:
        return Response(as_json, media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def docs(_: Request) -> Response:
        return HTMLResponse(as_html, headers=_HEADERS)

    whole = (
        *table,
        Operation(
            method="GET",
            path="/openapi.json",
            endpoint=openapi,
            tag="documentation",
            summary="This document, for programs",
            answers={200: (Body("An OpenAPI 3.1 document."),)},
        ),
        Operation(
            method="GET",
            path="/docs",
            endpoint=docs,
            tag="documentation",
            summary="This document, for people",
            answers={200: (Body("A page.", media_type="text/html"),)},
        ),
    )
    written = document(whole)
    as_json, as_html = to_json(written), _page(written)
    return whole


def _page(written: Schema) -> str:
    info = written["info"]
    operations = "".join(
        "".join(_operation(path, method, operation))
        for path, methods in written["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join("".join(_schema(name, schema)) for name, schema in written["components"]["schemas"].items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}: API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}: API</h1>{_prose(info['description'])}"
        '<p>For programs: <a href="openapi.json">openapi.json</a>. To try it: <a href=".">the page</a>.</p>'
        f"{operations}<h2>Types</h2>{schemas}</body></html>"
    )


def _operation(path: str, method: str, operation: Schema) -> Iterator[str]:
    name = operation["operationId"]
    yield f'<h2 id="{name}"><b>{"WS" if "x-websocket" in operation else method.upper()}</b> {escape(path)}</h2>'
    yield f"<p><strong>{escape(operation['summary'])}</strong></p>{_prose(operation['description'])}"
    if "requestBody" in operation:
        yield f"<p>Body: {_content(operation['requestBody'])}</p>"
    for side, title in (("client", "Client's frames"), ("server", "Server's frames")):
        if "x-websocket" in operation:
            yield f"<p>{title}: {', '.join(_type(schema) for schema in operation['x-websocket'][side])}</p>"
    yield "<table><tr><th>Status<th>Answer<th>Type</tr>"
    for status, answer in operation["responses"].items():
        yield f"<tr><td>{status}<td>{_inline(answer['description'])}<td>{_content(answer)}</tr>"
    yield "</table>"


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3>{_prose(schema.get("description", ""))}'
    if "properties" not in schema:
        yield f"<p>{_type(schema)}</p>"
        return
    yield "<table><tr><th>Field<th>Type<th>Meaning</tr>"
    for field, about in schema["properties"].items():
        needed = "" if field in schema.get("required", ()) else ", optional"
        meaning = _inline(about.get("description", ""))
        yield f"<tr><td><code>{escape(field)}</code><td>{_type(about)}{needed}<td>{meaning}</tr>"
    yield "</table>"


def _content(holder: Schema) -> str:
    return "<br>".join(
        f"<code>{escape(media_type)}</code> {_type(content['schema'])}"
        for media_type, content in holder.get("content", {}).items()
    )


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(_type, choices))
    values = [schema["const"]] if "const" in schema else schema.get("enum", ())
    if values:
        return " ".join(f"<code>{escape(str(value))}</code>" for value in values)
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if isinstance(held := schema.get("additionalProperties"), dict):
        return f"object of {_type(held)}"
    return escape(schema.get("type", "anything"))


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph.strip())


def _inline(text: str) -> str:
    """Words between backquotes become code."""
    parts = (f"<code>{part}</code>" if odd % 2 else part for odd, part in enumerate(escape(text).split("`")))
    return "".join(parts)
