"""The pictures in docs/diagrams/ are of the workspace as it is."""

from tools.commands.diagrams import FOLDER, WORKSPACE, source_hash

VIEWS = {"context", "container", "deployment", "component-program", "component-api", "component-executor"}


def test_the_pictures_are_of_this_workspace() -> None:
    for picture in FOLDER.glob("*.svg"):
        signature = picture.read_text().partition("\n")[0]
        assert source_hash() in signature, f"{picture.name} is out of date: run `make diagrams`"


def test_each_view_has_its_picture() -> None:
    assert {picture.stem for picture in FOLDER.glob("*.svg")} == VIEWS
    assert all(f'"{view}"' in WORKSPACE.read_text() for view in VIEWS)
