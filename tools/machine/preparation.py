"""What every run on real parts needs first: Docker, Pulumi and the images."""

from collections.abc import Iterable

from app.environments import DEFAULT_ENVIRONMENTS, ENVIRONMENTS
from infra.cluster import ADAPTER
from tools.build import images
from tools.build.images import ImageSet
from tools.console.steps import Report, Step
from tools.machine import docker_engine, pulumi_toolchain
from tools.machine.docker_engine import DockerEngine
from tools.machine.pulumi_toolchain import Toolchain
from tools.paths import HOME


class Preparation:
    """The steps that prepare a machine. Each stores its result here for the later ones.

    `environments` are the names of those whose images are built. With `clusters`, those that only a cluster runs too.
    """

    engine: DockerEngine
    toolchain: Toolchain
    images: ImageSet

    def __init__(self, environments: Iterable[str] = DEFAULT_ENVIRONMENTS, *, clusters: bool = False) -> None:
        self.environments = tuple(environments)
        self._clusters = clusters

    def steps(self) -> list[Step]:
        return [
            Step("Docker", self.find_engine),
            Step("Pulumi", self.find_toolchain),
            Step("Images", self.find_images),
        ]

    def find_engine(self, report: Report) -> str:
        self.engine = docker_engine.ensure(report)
        ours = docker_engine.daemon_pid()
        note = f", started by make up (process {ours}, log {docker_engine.daemon_log()})" if ours else ""
        return f"{self.engine.version()} on {self.engine.system()}, at {self.engine.url}{note}"

    def find_toolchain(self, report: Report) -> str:
        self.toolchain = pulumi_toolchain.ensure(report)
        return f"{self.toolchain.version}, {self.toolchain.origin}"

    def find_images(self, report: Report) -> str:
        found = images.ensure(self.engine, self.environments, report)
        self.images = found.only(lambda name: self._clusters or name != ADAPTER)
        return self.images.summary()

    def compile_programs(self, report: Report) -> str:
        """Build the images whose program is compiled first: minutes, unless this machine has done it before."""
        self.images = images.complete(self.engine, self.images, report)
        return self.images.summary()


def prepare(*, clusters: bool = False) -> Preparation:
    """Docker, Pulumi and images for a session fixture of tests. Quick once `make up` or `make test` has run.

    Raises:
        StepFailed: one of them is not available; the message says why, and what to do.
    """
    preparation = Preparation(ENVIRONMENTS, clusters=clusters)
    for step in [*preparation.steps(), Step("Programs", preparation.compile_programs)]:
        step.run(Report(HOME / "logs" / f"prepare-{step.slug}.log"))
    return preparation
