"""The pictures in docs/diagrams/ were drawn from docs/workspace.dsl as it is now."""

from tools.commands.diagrams import FOLDER, WORKSPACE, source_hash

VIEWS = {
    *("context", "container", "deployment", "deployment-cluster"),
    *("component-program", "component-api", "component-executor"),
}


def test_every_picture_was_drawn_from_this_workspace() -> None:
    for picture in FOLDER.glob("*.svg"):
        signature = picture.read_text().partition("\n")[0]
        assert source_hash() in signature, f"{picture.name} is out of date: run `make diagrams`"


def test_every_view_has_a_picture() -> None:
    assert {picture.stem for picture in FOLDER.glob("*.svg")} == VIEWS
    assert all(f'"{view}"' in WORKSPACE.read_text() for view in VIEWS)
