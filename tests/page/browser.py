"""Drives the page in a real Chromium."""

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

PATIENCE = 20
"""Timeout in seconds for anything that the page must show."""

_FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium's own sandbox needs privileges that a test machine's container lacks
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,860",
)


def start(chromium: str, driver: str, profile: Path) -> Chrome:
    """Start a browser with an empty profile, which logs its requests and its console.

    `chromium` and `driver` are paths of the programs, `profile` is an empty folder.
    """
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return Chrome(options=options, service=ChromeService(driver))


def fragment(environment: str, code: str, stdin: str = "") -> str:
    """The URL fragment of a link that holds a program."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(json.dumps([environment, code, stdin]).encode()) + packer.flush()
    return "#1." + base64.urlsafe_b64encode(packed).decode().rstrip("=")


@dataclass(frozen=True)
class Traffic:
    """The requests, and the errors on the console, since the last call of `Page.traffic`."""

    requests: tuple[dict[str, Any], ...]
    errors: tuple[str, ...]

    def elsewhere(self, origin: str) -> list[str]:
        """URLs of requests to other hosts than the origin's. Data and blob URLs don't count."""
        host = urlsplit(origin).netloc
        addresses = [urlsplit(str(request["url"])) for request in self.requests]
        return [each.geturl() for each in addresses if each.scheme not in ("data", "blob") and each.netloc != host]


class Page:
    """The page at `url`, used as a visitor uses it, in the browser's current window."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self._browser = browser
        self._window = browser.current_window_handle
        self.url = url.rstrip("/") + "/"

    @property
    def browser(self) -> Chrome:
        """The browser, switched to this page's window."""
        self._browser.switch_to.window(self._window)
        return self._browser

    def open(self, environment: str = "", code: str = "", stdin: str = "") -> None:
        """Reload the page, with a link's program if one is given."""
        self.browser.get("about:blank")
        self.browser.get(self.url + (fragment(environment, code, stdin) if environment else ""))
        self.wait(lambda: self.find("run").is_enabled(), "Run to be enabled")

    def run(self, environment: str, code: str, stdin: str = "") -> None:
        """Open a program and press Run; don't wait for the result."""
        self.open(environment, code, stdin)
        self.find("run").click()

    def follow_link(self) -> str:
        """Make a link to what the page has, and open it. Returns its URL."""
        self.find("link").click()
        self.wait(lambda: "link" in self.status, "the status to mention the link")
        link = self.browser.current_url
        self.browser.get("about:blank")
        self.browser.get(link)
        return link

    def find(self, name: str) -> WebElement:
        return self.browser.find_element(By.ID, name)

    def choose(self, select: str, value: str) -> None:
        Select(self.find(select)).select_by_value(value)

    @property
    def output(self) -> str:
        return str(self.find("output").get_property("textContent"))

    @property
    def status(self) -> str:
        return self.find("status").text

    @property
    def editor(self) -> WebElement:
        return self.find("editor").shadow_root.find_element(By.CSS_SELECTOR, ".cm-content")

    @property
    def code(self) -> str:
        """The code in the editor. It must fit the editor's height: lines out of sight are not in the DOM."""
        # The cursors of others, with their names, are in the lines.
        code = self.script(
            "return [...document.getElementById('editor').shadowRoot?.querySelectorAll('.cm-line') ?? []].map(line => {"
            "const text = line.cloneNode(true);"
            "text.querySelectorAll('.cm-ySelectionCaret').forEach(each => each.remove());"
            "return text.textContent }).join('\\n')"
        )
        return str(code)

    def type_code(self, code: str) -> None:
        """Replace the code by typing."""
        self.editor.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE, code)

    def press(self, *keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(*keys)

    def script(self, code: str, *arguments: object) -> Any:
        return self.browser.execute_script(code, *arguments)

    def emulate(self, command: str, **parameters: object) -> None:
        """Send a command of the DevTools protocol."""
        self.browser.execute_cdp_cmd(command, parameters)

    def wait(self, until: Callable[[], object], what: str) -> None:
        """Wait until a condition holds. A failure shows the page's status and output.

        The condition is tried again when the page replaces an element while it is read.
        """

        def seen() -> str:
            return f"waited {PATIENCE} s for {what}; status: {self.status!r}; output: {self.output!r}"

        stale = (StaleElementReferenceException,)
        wait = WebDriverWait(self.browser, PATIENCE, poll_frequency=0.05, ignored_exceptions=stale)
        try:
            wait.until(lambda _: until())
        except Exception as error:
            raise AssertionError(seen()) from error

    def ends(self, status: str) -> None:
        """Wait until the status line starts with `status`."""
        self.wait(lambda: self.status.startswith(status), f"the status {status!r}")

    def prints(self, text: str) -> None:
        """Wait until the output contains `text`."""
        self.wait(lambda: text in self.output, f"{text!r} in the output")

    def takes_input(self) -> None:
        """Wait until a line can be typed."""
        self.wait(lambda: self.find("line").is_displayed(), "the line to type")

    @property
    def tabs(self) -> list[str]:
        """The names of the files, with a star at the one that is shown."""
        # One script: the page may draw its tabs again between two commands.
        tabs: list[str] = self.script(
            "return [...document.querySelectorAll('#tabs [role=tab]')]"
            ".map(tab => tab.innerText + (tab.ariaSelected === 'true' ? '*' : ''))"
        )
        return tabs

    def faults(self, axe: str) -> list[str]:
        """What axe, whose source this is, finds in the page: rules with the elements that break them."""
        run = "axe.run(document, {resultTypes: ['violations']}).then(arguments[0], arguments[0])"
        found = self.browser.execute_async_script(f"{axe};{run}")
        return [f"{it['id']}: {[node['target'] for node in it['nodes']]}" for it in found["violations"]]

    def traffic(self) -> Traffic:
        """All requests, WebSockets included, and errors on the console, since the last call."""
        requests: list[dict[str, Any]] = []
        for entry in self._log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                requests.append(event["params"]["request"])
            elif event["method"] == "Network.webSocketCreated":
                requests.append(event["params"])
        errors = [entry["message"] for entry in self._log("browser") if entry["level"] == "SEVERE"]
        return Traffic(tuple(requests), tuple(errors))

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.browser.get_log(kind)  # type: ignore[no-untyped-call] # selenium leaves it untyped
        return entries
