"""NOTICE names all work of others that this repository contains, with its licence and its holder."""

import json
import re

from tools.paths import ROOT

NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")
BUNDLED = re.compile(r"^(\S+) [\d.]+: (Copyright .+)$", re.MULTILINE)
NAMED = re.compile(r"^  (\S+): ([\w.-]+), (Copyright .+)$", re.MULTILINE)


def test_each_library_of_the_page_is_named_with_its_licence_and_holder() -> None:
    lock = json.loads((ROOT / "frontend" / "package-lock.json").read_text())["packages"]
    bundled = {
        (name, lock[f"node_modules/{name}"]["license"], holder)
        for script in (ROOT / "app" / "api" / "page").glob("*.js")
        for name, holder in BUNDLED.findall(script.read_text(encoding="utf-8").partition("*/")[0])
    }
    assert bundled
    assert set(NAMED.findall(NOTICE)) == bundled


def test_the_base_of_the_seccomp_profile_is_named_as_it_names_itself() -> None:
    origin = json.loads((ROOT / "app" / "executor" / "seccomp" / "base.json").read_text())["origin"]
    assert f"From {origin['module'].partition('@')[0]}: {origin['license']}\n" in NOTICE


def test_the_licence_is_the_one_that_the_project_declares() -> None:
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert 'license = "Apache-2.0"\n' in (ROOT / "pyproject.toml").read_text()
