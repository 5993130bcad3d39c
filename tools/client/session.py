"""Makes every call of the API, then runs the code that the user types."""

import asyncio
import selectors

import httpx
from rich.console import Console
from rich.text import Text
from websockets.exceptions import WebSocketException

from tools.client.calls import TIMEOUT, Client, Unexpected
from tools.client.keyboard import Keyboard
from tools.client.tour import TOUR

FAULTS = (Unexpected, httpx.HTTPError, WebSocketException, OSError)


class Session:
    """A session of the user at this terminal."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client = client
        self._console = console
        self._keyboard = Keyboard()

    async def tour(self, *, ask: bool) -> int:
        """Make every call; with `ask`, wait for Enter before each. Returns the number of unexpected answers."""
        failures = 0
        for number, (title, call) in enumerate(TOUR.items(), 1):
            self._console.print()
            self._console.rule(Text(f"{number}/{len(TOUR)} {title}"), align="left")
            if ask and await self._ask("Enter goes on, s skips the rest: ") == "s":
                break
            try:
                await call(self._client)
            except FAULTS as error:
                failures += 1
                self._complain(error)
        return failures

    async def type_code(self) -> None:
        """Run the code that is typed, streamed, with this terminal as its input, until the end of input."""
        environment = "python"
        while True:
            self._console.print()
            environment = await self._ask(f"Environment [{environment}]: ") or environment
            self._console.print("Code; a line with only a dot ends it (Ctrl+D leaves):", style="dim")
            code: list[str] = []
            while (line := await self._keyboard.line()) != ".\n":
                if not line:
                    return
                code.append(line)
            hint = "Lines typed now go to the program; Ctrl+D ends its input, Ctrl+C interrupts it."
            self._console.print(hint, style="dim")
            try:
                await self._client.stream({"environment": environment, "code": "".join(code)}, self._keyboard.lines())
            except FAULTS as error:
                self._complain(error)

    async def _ask(self, question: str) -> str:
        self._console.print(Text(question), end="")
        line = await self._keyboard.line()
        if not line:
            raise EOFError
        return line.strip()

    def _complain(self, error: Exception) -> None:
        self._console.print(Text(f"Unexpected: {error or type(error).__name__}", style="bold red"))


async def run(url: str, console: Console, *, only_tour: bool) -> int:
    """Run the session. Returns its exit code."""
    console.print(f"The sandbox at {url}", style="bold")
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as http:
        session = Session(Client(url, console, http), console)
        failures = await session.tour(ask=not only_tour)
        if only_tour:
            console.print(f"\n{len(TOUR) - failures} of {len(TOUR)} calls were answered as expected.")
            return 1 if failures else 0
        await session.type_code()
    return 0


def start(url: str, console: Console, *, only_tour: bool) -> int:
    """Run the session until it ends or the user leaves. Returns its exit code."""
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
            return runner.run(run(url, console, only_tour=only_tour))
    except (KeyboardInterrupt, EOFError):
        print()
        return 0
