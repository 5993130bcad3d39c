"""Loki and the collector, real ones, which the tests of this folder share."""

from collections.abc import Iterator

import pytest

from tests.logs.parts import LogPlatform
from tools.prepare import Prepared


@pytest.fixture(scope="session")
def logs(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogPlatform]:
    """Loki and the collector, both ready; removed with all their data, also after a failure."""
    platform = LogPlatform(prepared.engine.client(), dict(prepared.images.references), tmp_path_factory.mktemp("logs"))
    try:
        yield platform.start()
    finally:
        platform.stop()
