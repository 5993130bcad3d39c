"""Tests of the page in a browser."""

import base64
import json
import time

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from app.environments import ENVIRONMENTS, VARIANTS
from tests.page.browser import Page, fragment

FIRST_EXAMPLES = {
    "python": "Hello from Python 3.",
    "python-data": "Plotted 400 points.",
    "node": "Hello from Node 2",
    "typescript": "Mars has 2 moons.",
    "bash": "Hello from Bash 5.",
    "ruby": "Hello, World!",
    "sqlite": "Hello, World!",
}


@pytest.mark.parametrize("environment", [*ENVIRONMENTS, *VARIANTS])
def test_an_example_runs_in_each_environment(page: Page, environment: str) -> None:
    output = FIRST_EXAMPLES[environment]
    page.open()
    page.choose("environment", environment)
    page.find("run").click()
    page.ends("Success · exit code 0 · ")
    assert output in page.output


def test_undo_restores_the_code_that_an_example_replaced(page: Page) -> None:
    page.open("python", "print('mine')")
    page.choose("example", "A question")
    assert "What is your name?" in page.code
    assert page.find("example").get_property("value") == "A question"
    page.editor.send_keys(Keys.CONTROL, "z")
    assert page.code == "print('mine')"
    assert page.find("example").get_property("value") == ""


def test_each_environment_keeps_its_own_code(page: Page) -> None:
    page.open("python", "print('mine')", stdin="1\n")
    page.choose("environment", "bash")
    assert page.code.startswith("echo")
    assert page.editor.get_attribute("aria-label") == "main.sh, bash"
    page.choose("environment", "python")
    assert page.code == "print('mine')"
    assert page.find("stdin").get_property("value") == "1\n"


def test_packages_are_listed(page: Page) -> None:
    page.open()
    page.choose("environment", "python-data")
    packages = page.find("installed").text
    assert all(f"{name} " in packages for name in ("numpy", "pandas", "matplotlib"))


def test_output_arrives_before_the_end(page: Page) -> None:
    page.run("python", "import time\nprint('early')\ntime.sleep(2)\nprint('late')")
    page.prints("early\n")
    assert (page.status, page.output) == ("Running…", "early\n")
    page.ends("Success")
    assert page.output == "early\nlate\n"


def test_input_is_typed_while_the_code_runs(page: Page) -> None:
    page.run("python", "name = input('Who? ')\nprint(f'Hello, {name}!')")
    page.prints("Who? ")
    page.takes_input()
    page.find("line").send_keys("Ada", Keys.ENTER)
    page.ends("Success")
    assert page.output == "Who? Ada\nHello, Ada!\n"


def test_a_program_has_a_terminal_that_takes_keys(page: Page) -> None:
    code = "import os, readline\nname = input('Who? ')\nprint(name, os.isatty(0), os.get_terminal_size().columns > 20)"
    page.run("python", code)
    page.prints("Who? ")
    page.takes_input()
    page.find("output").send_keys("Adx", Keys.BACKSPACE, "la", Keys.ARROW_LEFT, Keys.BACKSPACE, Keys.END, "!")
    page.prints("Who? Ada!")
    page.find("output").send_keys(Keys.ENTER)
    page.ends("Success")
    assert page.output == "Who? Ada!\nAda! True True\n"


def test_a_window_that_is_resized_reaches_the_program(page: Page) -> None:
    code = """
import os, signal, sys
def tell(*_):
    print(os.get_terminal_size().columns)
def resized(*_):
    tell()
    sys.exit()
signal.signal(signal.SIGWINCH, resized)
tell()
input()
"""
    page.run("python", code)
    page.prints("\n")
    page.takes_input()
    page.emulate("Emulation.setDeviceMetricsOverride", width=390, height=780, deviceScaleFactor=1, mobile=False)
    page.ends("Success")
    wide, narrow = map(int, page.output.split())
    assert 20 < narrow < wide


def test_ctrl_c_interrupts_what_has_a_terminal(page: Page) -> None:
    page.run("node", "console.log('up'); process.stdin.resume()")
    page.prints("up")
    page.takes_input()
    page.find("output").send_keys(Keys.CONTROL, "c")
    page.ends("Error · exit code 130 · SIGINT")
    assert page.output == "up\n^C"


def test_typed_input_can_be_ended(page: Page) -> None:
    page.run("bash", "cat; echo done")
    page.takes_input()
    page.find("line").send_keys("x", Keys.ENTER)
    page.prints("x\nx\n")
    page.find("line").send_keys(Keys.CONTROL, "d")
    page.ends("Success")
    assert page.output == "x\nx\ndone\n"


def test_stdin_that_is_given_first_ends(page: Page) -> None:
    page.run("python", "import sys\nprint(sum(map(int, sys.stdin)))", stdin="1\n2\n")
    page.ends("Success")
    assert page.output == "3\n"


@pytest.mark.parametrize("way", ["button", "key"])
def test_stop(page: Page, way: str) -> None:
    page.run("python", "print('begun')\nwhile True: pass")
    page.prints("begun")
    started = time.monotonic()
    if way == "button":
        page.find("stop").click()
    else:
        page.press(Keys.ESCAPE)
    page.ends("Stopped")
    assert time.monotonic() - started < 5
    assert page.output.startswith("begun\n")
    assert page.find("run").is_enabled()


def test_interrupt(page: Page) -> None:
    wait = "try:\n    print('begun')\n    time.sleep(25)\nexcept KeyboardInterrupt:\n    print('interrupted')"
    page.run("python", f"import time\n{wait}")
    page.prints("begun")
    page.find("interrupt").click()
    page.ends("Success")
    assert page.output == "begun\ninterrupted\n"


def test_a_failure_of_the_code(page: Page) -> None:
    page.run("python", "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)", stdin="given\n")
    page.ends("Error · exit code 3")
    assert sorted(page.output.split()) == ["err", "out"]
    assert page.find("output").find_element(By.CSS_SELECTOR, ".stderr").text == "err"
    assert "3" in page.find("notices").text


def test_output_above_the_limit(page: Page) -> None:
    page.run("python", "print('x' * 20_000)")
    page.ends("Too much output")
    assert page.output == "x" * 10_240
    assert "dropped" in page.find("notices").text


def test_the_status_gives_the_reason_of_a_refusal(page: Page) -> None:
    page.run("python", "#" * 70_000)
    page.wait(lambda: "65536" in page.status, "the limit in the status")
    assert page.find("run").is_enabled()


def test_a_link_holds_the_program_and_is_not_sent_to_a_server(page: Page) -> None:
    secret = "print('a secret of 7 ünïcode wörds')"
    page.open()
    page.choose("environment", "python")
    page.type_code(secret)
    page.script("arguments[0].closest('details').open = true", page.find("stdin"))
    page.find("stdin").send_keys("some input")
    link = page.follow_link()
    page.wait(lambda: page.find("run").is_enabled(), "Run to be enabled")
    assert page.code == secret
    assert page.find("environment").get_property("value") == "python"
    assert page.find("stdin").get_property("value") == "some input"
    assert page.output == ""
    sent = json.dumps([{**request, "urlFragment": None} for request in page.traffic().requests])
    assert link.partition("#")[2] not in sent
    assert "secret" not in sent


@pytest.mark.parametrize("damage", ["#1.", "#1.!!!", "#1.AAAA", fragment("python", "x" * 100)[:-5]])
def test_a_damaged_link_is_reported(page: Page, damage: str) -> None:
    page.browser.get(page.url + damage)
    page.wait(lambda: "damaged" in page.status, "the status to mention the damage")
    assert page.find("run").is_enabled()
    assert page.code != ""


def test_a_link_that_unpacks_to_50_mb_is_refused(page: Page) -> None:
    page.browser.get(page.url + fragment("python", "x" * 50_000_000))
    page.wait(lambda: "damaged" in page.status, "the status to mention the damage")


def test_the_name_of_an_unknown_environment_is_shown_as_text(page: Page) -> None:
    page.open("<img src=x onerror=hacked=1>", "print(1)")
    assert "<img src=x onerror=hacked=1>" in page.status
    assert page.script("return window.hacked") is None


ATTACK = "<script>hacked=1</script><img src=x onerror=hacked=1></pre><a href='javascript:hacked=1'>&lt;"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_not_parsed_as_html(page: Page, stream: str) -> None:
    page.run("python", f"import sys\nprint({ATTACK!r}, file=sys.{stream})")
    page.ends("Success")
    assert page.output == f"{ATTACK}\n"
    assert page.find("output").find_elements(By.CSS_SELECTOR, "script, img, a") == []
    assert page.script("return window.hacked") is None


PIXEL = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f"
    b"\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
).decode()


def test_images_are_shown_and_other_files_can_be_downloaded(page: Page) -> None:
    write = f"open('/tmp/results/dot.png', 'wb').write(base64.b64decode('{PIXEL}'))"
    page.run(
        "python", f"import base64\n{write}\nopen('/tmp/results/page.html', 'w').write('<script>hacked=1</script>')"
    )
    page.ends("Success")
    (image,) = page.find("files").find_elements(By.TAG_NAME, "img")
    page.wait(lambda: image.get_property("naturalWidth") == 1, "the picture")
    links = page.find("files").find_elements(By.TAG_NAME, "a")
    assert sorted(str(link.get_property("download")) for link in links) == ["dot.png", "page.html"]
    assert all(str(link.get_property("href")).startswith("data:application/octet-stream;") for link in links)


def test_a_script_in_an_svg_does_not_run(page: Page) -> None:
    attributes = "xmlns='http://www.w3.org/2000/svg' width='9' height='9' onload='top.hacked=1'"
    svg = f"<svg {attributes}><script>top.hacked=1</script></svg>"
    page.run("python", f"open('/tmp/results/x.svg', 'w').write({svg!r})")
    page.ends("Success")
    image = page.find("files").find_element(By.TAG_NAME, "img")
    page.wait(lambda: image.get_property("naturalWidth") == 9, "the picture")
    assert page.script("return window.hacked") is None


def test_a_carriage_return_overwrites_the_line(page: Page) -> None:
    page.run("bash", r"printf 'kept\r\n10%%\r'; sleep 0.5; printf '50%%\r\033[32m100%%\033[0m\n'")
    page.ends("Success")
    assert page.output == "kept\n100%\n"


def test_colours_are_shown_and_other_sequences_dropped(page: Page) -> None:
    page.run("bash", r"printf '\033]0;title\007\033[2J\033[1;31mred\033[0m \033[38;5;2mgreen\033[m\n'")
    page.ends("Success")
    assert page.output == "red green\n"
    output = page.find("output")
    assert output.find_element(By.CSS_SELECTOR, ".colour-1.bold").text == "red"
    assert output.find_element(By.CSS_SELECTOR, ".colour-2:not(.bold)").text == "green"


def test_an_escape_sequence_split_over_two_frames(page: Page) -> None:
    page.run("bash", r"printf '\033[3'; sleep 0.5; printf '2mgreen\033[0m\n'")
    page.ends("Success")
    assert page.output == "green\n"
    assert page.find("output").find_element(By.CSS_SELECTOR, ".colour-2").text == "green"


def test_without_a_websocket_the_page_uses_plain_requests(page: Page) -> None:
    script = (
        "window.WebSocket = class extends WebSocket { constructor() { super('ws://' + location.hostname + ':9/'); } }"
    )
    added = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        page.run("python", "print('first')\nprint(input())", stdin="second")
        page.ends("Success")
        page.run("python", "while True: pass")
        page.ends("Running")
        page.find("stop").click()
        page.ends("Stopped")
        page.run("python", "#" * 70_000)
        page.wait(lambda: "65536" in page.status, "the limit in the status")
    finally:
        page.emulate("Page.removeScriptToEvaluateOnNewDocument", **added)
    errors = page.traffic().errors
    assert errors
    assert all(":9/" in error or "413" in error for error in errors)


def test_ctrl_enter_runs_the_code(page: Page) -> None:
    page.open("python", "print('by hand')")
    page.editor.send_keys(Keys.CONTROL, Keys.ENTER)
    page.ends("Success")
    assert page.output == "by hand\n"
    assert page.code == "print('by hand')"


def test_the_editor_indents(page: Page) -> None:
    page.open("python", "x")
    page.type_code("if True:\nprint('indented'")
    assert page.code == "if True:\n    print('indented')"


def test_tab_reaches_every_control_with_a_visible_focus(page: Page) -> None:
    page.open("python", "print(1)", stdin="x")
    page.script("document.querySelector('header a').focus()")
    left = ("environment", "example", "tab-0", "add", "rename", "editor", "SUMMARY", "stdin", "packages")
    for name in (*left, "run", "link", "share", "output"):
        page.press(Keys.ESCAPE, Keys.TAB)
        element, outline = page.script(
            "const e = document.activeElement; return [e.id || e.tagName, getComputedStyle(e).outlineStyle]"
        )
        assert (element, outline) == (name, "solid")


def test_running_by_keyboard_keeps_the_focus(page: Page) -> None:
    page.open("python", "import time\ntime.sleep(1)")
    page.find("run").send_keys(Keys.ENTER)
    page.ends("Running")
    assert page.script("return document.activeElement.id") == "stop"
    page.ends("Success")
    assert page.script("return document.activeElement.id") == "run"


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_horizontal_scroll(page: Page, width: int) -> None:
    page.emulate("Emulation.setDeviceMetricsOverride", width=width, height=780, deviceScaleFactor=2, mobile=True)
    page.run("python", f"name = input('x' * 500)  # {'y' * 300}")
    page.prints("x" * 500)
    page.takes_input()
    assert page.script("return document.documentElement.scrollWidth") <= width
    page.find("line").send_keys(Keys.ENTER)
    page.ends("Success")
    assert page.script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_visitors_scheme_and_have_contrast(page: Page, scheme: str) -> None:
    page.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.run("bash", r"printf '\033[%dmcolour\033[0m ' {30..37} {90..97}; echo plain; echo oops >&2")
    page.ends("Success")
    ground = luminance(page.script("return getComputedStyle(document.body).backgroundColor"))
    assert (ground > 0.5) == (scheme == "light")
    surface = luminance(page.script("return getComputedStyle(document.querySelector('.terminal')).backgroundColor"))
    for span in page.find("output").find_elements(By.TAG_NAME, "span"):
        colour = page.script("return getComputedStyle(arguments[0]).color", span)
        assert contrast(luminance(colour), surface) >= 4.5, (span.get_attribute("class"), colour)
    editor = page.script("return getComputedStyle(arguments[0]).color", page.editor)
    assert contrast(luminance(editor), surface) >= 4.5
    muted = page.script("return getComputedStyle(arguments[0]).color", page.find("installed"))
    assert contrast(luminance(muted), ground) >= 4.5


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of an opaque colour such as `rgb(1, 2, 3)`."""
    channels = [int(channel) / 255 for channel in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    """Contrast ratio (WCAG 2.2) of two luminances. Text needs at least 4.5."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
