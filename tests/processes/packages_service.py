"""A packages service in the process of the tests."""

import tempfile
from pathlib import Path
from typing import Any

from app.environments import ENVIRONMENTS
from app.packages.metrics import Metrics
from app.packages.service import Preparations
from app.packages.settings import PackagesSettings
from app.packages.store import Store
from app.wire.packages import LAYER, Prepared, Wanted
from app.wire.protocol import Preparing
from tools.measure.package_index import Index


class Service:
    """A packages service without its socket, on a fresh store."""

    def __init__(self, index: Index, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.settings = PackagesSettings(index=index.url, registry=index.registry, store=folder / "store", **options)
        self.settings.store.mkdir(parents=True, exist_ok=True)
        (folder / "tools").mkdir(exist_ok=True)
        self.open()

    def open(self) -> None:
        """Start it with the files of an earlier one."""
        self.store = Store(self.settings.store, self.settings.store_mb)
        self.store.open()
        self.metrics = Metrics(self.store)
        self.preparations = Preparations(self.settings, self.store, self.folder / "tools", self.metrics)

    async def ask(self, *packages: str, environment: str = "python", client: str = "1.2.3.4", **more: Any) -> Any:
        """The set, or the problem."""
        wanted = Wanted(environment=environment, packages=packages, client=client, **{"installed": (), **more})
        while isinstance(news := await self.preparations.prepare(wanted), Preparing):
            wanted = wanted.model_copy(update={"seen": news.step})
        return news.set if isinstance(news, Prepared) else news.problem

    def files(self, identity: str) -> dict[str, bytes]:
        """The files of a set by their names below its site folder, without those that describe packages of Python."""
        layer = self.settings.store / "sets" / identity / LAYER
        site = next(layer / str(it.site) for it in ENVIRONMENTS.values() if it.site and (layer / it.site).is_dir())
        files = {str(file.relative_to(site)): file.read_bytes() for file in site.rglob("*") if file.is_file()}
        return {name: content for name, content in files.items() if ".dist-info/" not in name}

    def everywhere(self, name: str) -> list[Path]:
        """All files with this name, in any folder."""
        return [*self.folder.rglob(name), *Path(tempfile.gettempdir()).glob(name)]

    def left_over(self) -> list[Path]:
        """The contents of the folder of unfinished work."""
        return list((self.settings.store / "new").iterdir())
