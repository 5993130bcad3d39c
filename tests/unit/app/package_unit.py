"""The copy service of a unit in the process of the tests, without its socket."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from app.environments import ENVIRONMENTS
from app.packages.copies import Copies
from app.packages.settings import PackagesSettings
from app.packages.store import Store
from app.wire.packages import LAYER, Prepared, Wanted
from app.wire.protocol import Preparing
from tests.unit.app.fake_executor import serving

SITE = Path(LAYER, str(ENVIRONMENTS["python"].site))


@contextlib.contextmanager
def by_tcp(app: ASGIApp) -> Iterator[str]:
    """The URL of an application."""
    with serving(app, port=0) as server:
        _, port = server.servers[0].sockets[0].getsockname()
        yield f"http://127.0.0.1:{port}"


class Unit:
    """A copy service without its socket, on a fresh store."""

    def __init__(self, source: str, folder: Path, **options: Any) -> None:
        self.folder = folder / "unit"
        self.folder.mkdir(exist_ok=True)
        self.settings = PackagesSettings(source=source, store=self.folder, **options)
        self.store = Store(self.folder, self.settings.store_mb)
        self.store.open()
        self.copies = Copies(self.settings, self.store)

    async def ask(self, *packages: str, client: str = "1.2.3.4", environment: str = "python") -> Any:
        """The set, or the problem. The steps are in `steps`."""
        self.steps: list[str] = []
        wanted = Wanted(environment=environment, packages=packages or ("named",), client=client, installed=())
        while isinstance(news := await self.copies.prepare(wanted), Preparing):
            self.steps.append(news.step)
            wanted = wanted.model_copy(update={"seen": news.step})
        return news.set if isinstance(news, Prepared) else news.problem

    def files(self, identity: str) -> dict[str, bytes]:
        """The files of a set by their names."""
        site = self.folder / "sets" / identity / SITE
        return {str(it.relative_to(site)): it.read_bytes() for it in site.rglob("*") if it.is_file()}

    def left_over(self) -> list[str]:
        """What is not in the store for good."""
        return [it.name for folder in ("new", "sets", "asked") for it in (self.folder / folder).iterdir()]
