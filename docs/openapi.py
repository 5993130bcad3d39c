"""Writes the OpenAPI 3.1 document from the table of operations and their pydantic models."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.api.operation import Body, Frames, Model, Operation
from app.api.repeats import IDEMPOTENCY_KEY
from app.wire.problems import Code, Problem

Schema = dict[str, Any]

_VERSION = "1.0.0"
"""Of the interface, as Semantic Versioning counts: the first number changes when a working client would break."""
_TITLE = "Code sandbox"
_ABOUT = (
    "Runs code in a container of its own, without a network, and answers with its output. When the code fails, the "
    "status is 200 all the same. Every other status is a refusal: application/problem+json with a stable `code`. Every "
    "answer of the API has an X-Request-Id.\n\n"
    "Any path may be refused with `not_found`, `method_not_allowed`, `uri_too_long` or `malformed_request`, and by the "
    "reverse proxy with `rate_limited`, `bad_gateway` or `gateway_timeout`.\n\n"
    "A site that the operator gave a key sends it as `Authorization: Bearer <key>`. The limits `key` (requests) and "
    "`seconds` (of run time a day) are the key's, and `executions` is that of an address."
)


def document(operations: Sequence[Operation]) -> Schema:
    """The OpenAPI document of these operations, as JSON values."""
    references, definitions = models_json_schema(
        sorted(_models(operations), key=lambda item: (item[0].__name__, item[1])),
        ref_template="#/components/schemas/{model}",
    )
    writer = _Writer(references)
    paths: dict[str, Schema] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = writer.operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": _VERSION, "description": _ABOUT},
        "paths": dict(paths),
        "components": {"schemas": definitions["$defs"], "headers": _HEADERS, "securitySchemes": _SECURITY},
    }


def _models(operations: Sequence[Operation]) -> set[tuple[Model, JsonSchemaMode]]:
    found: set[tuple[Model, JsonSchemaMode]] = {(Problem, "serialization")}
    for operation in operations:
        frames = operation.frames or Frames(client=(), server=())
        read = (*frames.client, *((operation.request,) if operation.request else ()))
        written = (*frames.server, *(body.model for bodies in operation.answers.values() for body in bodies))
        found |= {(model, "validation") for model in read}
        found |= {(model, "serialization") for model in written if model is not None}
    return found


class _Writer:
    def __init__(self, references: Mapping[tuple[Any, JsonSchemaMode], Schema]) -> None:
        self._references = references

    def operation(self, operation: Operation) -> Schema:
        written: Schema = {
            "tags": [operation.tag],
            "operationId": f"{operation.method.lower()}{re.sub(r'[/.{}]+', '_', operation.path)}",
            "summary": operation.summary,
            "description": operation.description,
            "responses": {
                **{str(status): self._answer(operation, bodies) for status, bodies in operation.answers.items()},
                **self._refusals(operation),
            },
        }
        if operation.rated:
            written["security"] = [{}, {"key": []}]
        in_path = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", operation.path)
        ]
        if parameters := [*in_path, *([_IDEMPOTENCY_KEY] if operation.repeatable else [])]:
            written["parameters"] = parameters
        if operation.request is not None:
            written["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": self._references[operation.request, "validation"]}},
            }
        if operation.frames is not None:
            written["x-websocket"] = {
                "client": [self._references[model, "validation"] for model in operation.frames.client],
                "server": [self._references[model, "serialization"] for model in operation.frames.server],
            }
        return written

    def _answer(self, operation: Operation, bodies: tuple[Body, ...]) -> Schema:
        answer: Schema = {"description": " Or: ".join(body.description for body in bodies)}
        content = {body.media_type: self._content(body) for body in bodies if body.media_type}
        if content:
            answer["content"] = content
        if operation.rated:
            answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in _RATE_HEADERS}
        return answer

    def _content(self, body: Body) -> Schema:
        if body.model is not None:
            return {"schema": self._references[body.model, "serialization"]}
        return {"schema": {"type": "object" if body.media_type == "application/json" else "string"}}

    def _refusals(self, operation: Operation) -> Schema:
        by_status: dict[HTTPStatus, list[Code]] = defaultdict(list)
        for code in operation.refusals:
            by_status[code.status].append(code)
        content = {"application/problem+json": {"schema": self._references[Problem, "serialization"]}}
        return {
            str(status.value): {"description": f"{status.phrase}: {', '.join(codes)}.", "content": content}
            for status, codes in by_status.items()
        }


_IDEMPOTENCY_KEY: Schema = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "description": "A random text for each request; one that is repeated has the same (draft-ietf-httpapi-idempotency-"
    "key-header). Quotes may be left out.",
    "schema": {"type": "string", "examples": ['"8e03978e-40d5-43dd-bc93-6894a57f9324"']},
}
_SECURITY: Schema = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of a site, with budgets of its own. A key of pages works from their origins alone and is "
        "public; each address is counted too. A key of servers works without an Origin.",
    }
}
_RATE_HEADERS = ("RateLimit", "RateLimit-Policy")
_HEADERS: Schema = {
    "RateLimit": {
        "description": "What is left of each limit: `r`, more in `t` seconds (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string", "examples": ['"executions";r=9;t=60']},
    },
    "RateLimit-Policy": {
        "description": "Each limit: `q` executions, or what `qu` names, in `w` seconds.",
        "schema": {"type": "string", "examples": ['"executions";q=10;w=60']},
    },
}
