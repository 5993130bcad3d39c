"""Several files and packages on the page, by mouse and by keyboard, and what axe finds."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.page.browser import Page
from tools.measure.package_index import Index


def add(page: Page, name: str, code: str) -> None:
    page.find("add").click()
    page.press(name, Keys.ENTER)
    page.press(code)


def test_files_are_added_renamed_and_removed(page: Page) -> None:
    page.open("python", "import helper\nprint(helper.text, open('data/a.txt').read())")
    add(page, "hlper.py", "text = 'helped'")
    add(page, "data/a.txt", "by data")
    assert page.tabs == ["main.py", "data/a.txt*", "hlper.py"]
    page.find("run").click()
    page.ends("Error")
    page.find("tab-2").click()
    page.find("rename").click()
    page.press(Keys.CONTROL, "a", Keys.NULL, "helper.py", Keys.ENTER)
    assert (page.tabs, page.code) == (["main.py", "data/a.txt", "helper.py*"], "text = 'helped'")
    page.find("run").click()
    page.ends("Success")
    assert page.output == "helped by data\n"
    page.find("remove").click()
    page.browser.switch_to.alert.dismiss()
    page.find("remove").click()
    page.browser.switch_to.alert.accept()
    assert page.tabs == ["main.py*", "data/a.txt"]


def test_each_file_keeps_its_own_undo(page: Page) -> None:
    page.open("python", "print(1)")
    add(page, "other.py", "2")
    page.find("tab-0").click()
    page.editor.send_keys(Keys.CONTROL, "z")
    assert page.code == "print(1)"
    page.find("tab-1").click()
    page.editor.send_keys(Keys.CONTROL, "z")
    assert page.code == ""


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("main.py", "already"),
        ("main.py/x", "can't be a folder"),
        ("../x", "as in data/points.csv"),
        ("é" * 128, "255 bytes"),
        ("", "needs a name"),
    ],
)
def test_a_name_that_a_file_can_not_have_is_refused_with_a_reason(page: Page, name: str, fault: str) -> None:
    page.open("python", "print(1)")
    page.find("add").click()
    page.press(name, Keys.ENTER)
    assert fault in str(page.find("name").get_property("validationMessage"))
    page.press(Keys.ESCAPE)
    assert (page.find("name").is_displayed(), page.tabs) == (False, ["main.py*"])


def test_files_need_no_mouse(page: Page) -> None:
    page.open("python", "print(1)")
    page.find("add").send_keys(Keys.ENTER)
    page.press("a.py", Keys.ENTER)
    assert page.script("return document.activeElement.id") == "editor"
    page.find("tab-1").send_keys(Keys.ARROW_RIGHT)
    assert (page.tabs, page.script("return document.activeElement.id")) == (["main.py*", "a.py"], "tab-0")
    page.press(Keys.ARROW_LEFT)
    page.press(Keys.F2)
    page.press("b", Keys.ENTER)
    assert page.tabs == ["main.py", "b.py*"]
    page.find("tab-1").send_keys(Keys.DELETE)  # it is empty, so nothing is asked
    assert page.tabs == ["main.py*"]
    assert not page.find("remove").is_enabled()


def test_a_link_holds_all_files_and_packages(page: Page) -> None:
    page.open("python", "import other")
    add(page, "other.py", "print('from a link')")
    page.find("packages").send_keys("rich")
    page.follow_link()
    page.wait(lambda: len(page.tabs) == 2, "the files")
    assert (page.tabs, page.find("packages").get_property("value")) == (["main.py*", "other.py"], "rich")


def test_packages_are_asked_for_where_an_environment_takes_them(page: Page, index: Index) -> None:
    index.package("of_the_page", "word = 'imported'\n", version="1.2")
    page.open("python", "import of_the_page\nprint(of_the_page.word)")
    page.find("packages").send_keys("of-the-page >= 1, < 2")
    page.script(
        "window.said = []; new MutationObserver(() => said.push(arguments[0].textContent))"
        ".observe(arguments[0], {childList: true})",
        page.find("status"),
    )
    page.find("run").click()
    page.ends("Success")
    assert page.output == "imported\n"
    said = page.script("return said")
    assert said.index("Looking for the packages…") < said.index("Running…", 1), said
    page.choose("environment", "bash")
    assert not page.find("packages").is_displayed()


def test_a_refusal_of_packages_is_a_sentence(page: Page) -> None:
    page.open("python", "print(1)")
    page.find("packages").send_keys("no-such-package")
    page.find("run").click()
    page.wait(lambda: "no-such-package" in page.status, "the reason in the status")
    assert page.status.endswith(".")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_axe_finds_nothing_on_the_page_and_in_the_documentation(page: Page, axe: str, scheme: str, width: int) -> None:
    page.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.emulate("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    page.open("python", "print(input())", stdin="Ada")
    add(page, "other.py", "x = 1")
    page.find("run").click()
    page.ends("Success")
    page.find("rename").click()
    assert page.faults(axe) == []
    assert page.script("return document.documentElement.scrollWidth") <= width
    page.browser.get(f"{page.url}docs")
    assert page.faults(axe) == []
