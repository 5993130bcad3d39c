import re

import pytest

from docs.reference import DOCUMENTS, OPENAPI, TABLES, anchors, openapi, settings, with_tables
from tools.paths import ROOT


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_the_generated_parts_are_those_of_the_code(document: object) -> None:
    text = (ROOT / str(document)).read_text()
    assert with_tables(text) == text, "run: make generate"


def test_the_openapi_document_is_that_of_the_code() -> None:
    assert (ROOT / OPENAPI).read_text() == openapi(), "run: make generate"


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_within_a_document_lead_somewhere(document: object) -> None:
    text = (ROOT / str(document)).read_text()
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors(text)


def test_a_changed_table_is_written_anew() -> None:
    text = "a\n<!-- generated: alerts -->\nold\n<!-- end: alerts -->\nb\n"
    assert with_tables(text) == f"a\n<!-- generated: alerts -->\n{TABLES['alerts']()}\n<!-- end: alerts -->\nb\n"


@pytest.mark.parametrize("text", ["<!-- generated: nothing -->", "<!-- generated: alerts -->\n"])
def test_a_part_that_nothing_makes_or_ends_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="generate"):
        with_tables(text)


def test_every_setting_has_a_meaning_and_the_keys_are_whole() -> None:
    found = dict(settings())
    assert [key for key, field in found.items() if not field.description] == []
    assert {"name", "host", "host.ssh.port", "edge.tls.authority.url", "sandbox.queue", "sandbox.profile.pids"} <= set(
        found
    )


def test_anchors_are_those_of_the_headings() -> None:
    assert anchors("# A b\n\n## TargetMissing\ntext\n### What's it, then?\n") == {
        "a-b",
        "targetmissing",
        "whats-it-then",
    }
