"""Rooms, in two windows of a real Chromium."""

import statistics
from collections.abc import Callable, Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.page.browser import Page

HELLO = "print('hello')"
NOTE_ARRIVALS = """
window.arrived = {};
const editor = document.getElementById('editor').shadowRoot;
new MutationObserver(() => {
  for (const [, number] of editor.textContent.matchAll(/<(\\d+)>/g)) arrived[number] ??= Date.now();
}).observe(editor, {childList: true, characterData: true, subtree: true});
"""
INSERT = """
document.getElementById('editor').shadowRoot.querySelector('.cm-content').focus();
const sent = Date.now();
document.execCommand('insertText', false, arguments[0]);
return sent;
"""

Window = Callable[[str], Page]


@pytest.fixture
def window(page: Page, browser: Chrome) -> Iterator[Window]:
    """Opens another window at a link."""
    opened = []

    def at(link: str) -> Page:
        browser.switch_to.new_window("window")
        other = Page(browser, page.url)
        opened.append(other)
        browser.get(link)
        other.wait(lambda: other.find("room").is_displayed(), "the room")
        other.wait(lambda: other.find("room-state").text != "Opening…", "the room's program")
        return other

    yield at
    for other in opened:
        other.browser.close()
    assert page.browser.current_window_handle


def share(page: Page, code: str = HELLO, stdin: str = "") -> str:
    """Make a room with this code of Python, and return the link to edit."""
    page.open("python", code, stdin)
    page.find("share").click()
    page.wait(lambda: page.find("leave").is_displayed() and page.find("run").is_enabled(), "the room")
    return page.browser.current_url


def view_link(page: Page) -> str:
    page.emulate("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.find("copy-view").click()
    page.ends("Copied")
    return str(page.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])"))


def called(page: Page, name: str) -> None:
    page.find("who").send_keys(Keys.CONTROL, "a", Keys.NULL, name, Keys.TAB)


def test_two_windows_converge_and_see_one_run(page: Page, window: Window, capsys: pytest.CaptureFixture[str]) -> None:
    link = share(page)
    other = window(link)
    called(other, "Bob")
    page.wait(lambda: "Bob" in page.find("members").text, "Bob among the members")

    other.script(NOTE_ARRIVALS)
    sent, arrived = [], "return Object.values(arrived)"
    for number in range(10):
        sent.append(page.script(INSERT, f"\n# <{number}>"))
        page.wait(lambda: len(other.script(arrived)) == len(sent), "the edit")
    milliseconds = [there - here for here, there in zip(sent, other.script(arrived), strict=True)]
    with capsys.disabled():
        print(f"two windows converged in {milliseconds} ms")
    assert statistics.median(milliseconds) < 5000

    other.find("add").click()
    other.press("helper.py", Keys.ENTER)
    other.press("word = 'shared'")
    page.wait(lambda: page.tabs == ["main.py*", "helper.py"], "the new file")
    page.type_code("import helper\nprint(helper.word)\nopen('/tmp/results/a.txt', 'w').write('x')")
    other.find("tab-0").click()
    other.wait(lambda: other.code == page.code, "the same code")
    names = other.find("editor").shadow_root.find_elements(By.CSS_SELECTOR, ".cm-ySelectionInfo")
    assert [name.get_property("textContent") for name in names][:1] == [page.find("who").get_property("value")]

    other.find("run").click()
    for each in (page, other):
        each.ends("Success")
        assert each.output == "shared\n"
        assert each.status.endswith("started by Bob")
        assert each.find("files").text == "a.txt, 1 B"


def test_whoever_comes_while_code_runs_sees_its_output_and_all_see_what_is_typed(page: Page, window: Window) -> None:
    link = share(page, "print('Who?', flush=True)\nprint('Hello,', input())")
    page.find("run").click()
    page.prints("Who?")
    other = window(link)
    other.takes_input()
    other.find("line").send_keys("Ada", Keys.ENTER)
    for each in (page, other):
        each.ends("Success")
        assert each.output == "Who?\nAda\nHello, Ada\n"


def test_the_input_and_the_environment_are_shared(page: Page, window: Window) -> None:
    other = window(share(page, "print(input()[::-1])", stdin="one"))
    assert other.find("stdin").get_property("value") == "one"
    other.find("stdin").send_keys(Keys.HOME, "two")
    page.wait(lambda: page.find("stdin").get_property("value") == "twoone", "the input")
    page.find("run").click()
    other.ends("Success")
    assert other.output == "enoowt\n"
    page.choose("environment", "bash")
    other.wait(lambda: other.tabs == ["main.sh*", "main.py"], "the other environment")
    assert other.find("environment").get_property("value") == "bash"


def test_a_view_link_only_watches(page: Page, window: Window) -> None:
    share(page)
    viewer = window(view_link(page))
    viewer.wait(lambda: viewer.find("room-state").text == "View only", "what the link is for")
    assert not any(viewer.find(name).is_enabled() for name in ("run", "environment", "example", "add", "rename"))
    viewer.editor.send_keys("x", Keys.CONTROL, Keys.ENTER)
    viewer.find("tab-0").send_keys(Keys.F2, Keys.DELETE)
    assert (viewer.code, viewer.tabs) == (HELLO, ["main.py*"])
    page.type_code("import time\nprint('watched', flush=True)\ntime.sleep(20)")
    page.find("run").click()
    viewer.prints("watched")
    viewer.press(Keys.ESCAPE)
    assert viewer.status.startswith("Running, started by ")
    assert not viewer.find("stop").is_enabled()
    page.find("stop").click()
    viewer.ends("Stopped")


def test_a_room_is_left_with_a_copy_and_entered_again(page: Page) -> None:
    link = share(page)
    page.browser.refresh()
    page.wait(lambda: page.find("copy-view").is_displayed(), "the link to view after a reload")
    # More keys than messages that a member may send a second.
    kept = f"print('kept')  # {'x' * 90}"
    page.type_code(kept)
    page.find("leave").click()
    page.wait(lambda: not page.find("room").is_displayed(), "the room to be left")
    assert (page.browser.current_url, page.code) == (page.url, kept)
    page.find("run").click()
    page.ends("Success")
    share(page, stdin="of another room")
    page.script("location.href = arguments[0]", link)
    page.wait(lambda: page.code == kept, "the first room")
    assert (page.browser.current_url, page.find("stdin").get_property("value")) == (link, "")


@pytest.mark.parametrize("fragment", ["#room=0123456789abcdef&token=none", "#room=0123456789abcdef"])
def test_a_link_without_a_room_says_so_and_leaves_a_program(page: Page, fragment: str) -> None:
    page.browser.get("about:blank")
    page.browser.get(page.url + fragment)
    page.wait(lambda: "link" in page.status, "the reason in the status")
    assert page.find("run").is_enabled()
    assert not page.find("room").is_displayed()


def test_a_room_needs_no_mouse(page: Page) -> None:
    page.open("python", HELLO)
    page.find("share").send_keys(Keys.ENTER)
    page.wait(lambda: page.find("leave").is_displayed() and page.find("run").is_enabled(), "the room")
    page.script("document.querySelector('header a').focus()")
    for name in ("who", "copy-edit", "copy-view", "leave", "environment", "example", "tab-0"):
        page.press(Keys.TAB)
        element, outline = page.script(
            "const e = document.activeElement; return [e.id, getComputedStyle(e).outlineStyle]"
        )
        assert (element, outline) == (name, "solid")
    page.press(Keys.CONTROL, Keys.ENTER)
    page.ends("Success")
    page.find("leave").send_keys(Keys.ENTER)
    assert page.script("return document.activeElement.id") == "editor"


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (1280, "light")])
def test_axe_finds_nothing_in_a_room(page: Page, window: Window, axe: str, scheme: str, width: int) -> None:
    page.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.emulate("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    other = window(share(page))
    other.type_code("print('a second member')")
    page.wait(lambda: "second" in page.code, "the edit")
    page.find("run").click()
    page.ends("Success")
    assert page.faults(axe) == []
    assert page.script("return document.documentElement.scrollWidth") <= width


def test_a_run_has_what_was_typed_just_before(page: Page) -> None:
    share(page)
    # More keys than messages that a member may send a second.
    page.type_code(f"print('{'x' * 90}'" + Keys.CONTROL + Keys.ENTER)
    page.ends("Success")
    assert page.output == "x" * 90 + "\n"
