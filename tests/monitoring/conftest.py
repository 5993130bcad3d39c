import pytest

from tests.monitoring.promtool import Promtool
from tools.prepare import Prepared


@pytest.fixture(scope="session")
def promtool(prepared: Prepared) -> Promtool:
    return Promtool(prepared.engine.client(), prepared.images.references["prometheus"])
