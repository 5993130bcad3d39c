"""The OpenAPI document is valid and complete, and the page of it has no script."""

import html.parser

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.api.page_files import PAGE, page_files
from docs.openapi import document
from tests.unit.app.fake_executor import FakeExecutor
from tests.unit.app.fake_visitor import api, public_routes

pytestmark = pytest.mark.anyio


async def test_the_document_is_valid(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    OpenAPIV31SpecValidator(response.json()).validate()


async def test_every_route_but_the_pages_files_is_in_it(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    files = set(page_files(PAGE)) - {"/docs", "/openapi.json"}
    assert set(paths) == public_routes(executor) - files
    assert {"/execute", "/execute/stream", "/api/v2/execute", "/v1/exec", "/openapi.json", "/docs"} <= set(paths)


async def test_it_has_the_models_and_their_descriptions(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        found = (await client.get("/openapi.json")).json()
    execute = found["paths"]["/execute"]["post"]
    assert execute["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Execution"}
    assert set(execute["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "rate_limited" in execute["responses"]["429"]["description"]
    assert found["components"]["schemas"]["Execution"]["properties"]["timeout"]["description"]
    frames = found["paths"]["/execute/stream"]["get"]["x-websocket"]
    assert {"$ref": "#/components/schemas/Start"} in frames["client"]
    assert {"$ref": "#/components/schemas/Fault"} in frames["server"]


def test_an_empty_table_has_no_paths() -> None:
    assert document([])["paths"] == {}


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.sheets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag != "script"
        assert tag != "style"
        assert not {name for name in given if name.startswith("on") or name == "style"}
        if tag == "link":
            self.sheets.add(given["href"] or "")
            return
        self.ids |= {given["id"] or ""} if "id" in given else set()
        self.targets |= {given["href"] or ""} if "href" in given else set()


async def test_the_docs_are_a_page_without_script_under_a_strict_policy(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.get("/docs")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    links = _Links()
    links.feed(response.text)
    inside = {target[1:] for target in links.targets if target.startswith("#")}
    assert inside <= links.ids
    assert {"Execution", "ExecutionResult", "Problem"} <= links.ids
    assert links.targets - {f"#{name}" for name in inside} == {"openapi.json", "."}
    assert links.sheets == {"docs.css", "data:,"}  # the second one is an empty icon
