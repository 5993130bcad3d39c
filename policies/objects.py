"""Networks, volumes, and the doors around the rules for containers."""

from collections.abc import Iterator

from policies.inputs import STACK_LABEL, Inputs
from policies.rules import Rule, rule

NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"


@rule(
    "network-driver",
    cis="5.10",
    resource_type=NETWORK,
    description="A network of the stack is a bridge of its own.",
    fix="Leave `driver` out, or set it to 'bridge'.",
)
def network_driver(inputs: Inputs) -> Iterator[str]:
    if inputs.get("driver") not in (None, "", "bridge"):
        yield f"driver is {inputs.get('driver')!r}"


@rule(
    "volume-driver",
    cis="5.6",
    resource_type=VOLUME,
    description="A volume is kept by the engine and is no folder of the host under another name.",
    fix="Leave driverOpts out, and `driver` too or 'local'.",
)
def volume_driver(inputs: Inputs) -> Iterator[str]:
    if inputs.get("driver") not in (None, "", "local"):
        yield f"driver is {inputs.get('driver')!r}"
    if inputs.get("driverOpts"):
        yield f"driverOpts is {inputs.get('driverOpts')!r}"


def _stack_label(inputs: Inputs) -> Iterator[str]:
    value = inputs.labels.get(STACK_LABEL)
    if not isinstance(value, str) or not value:
        yield f"the label {STACK_LABEL} is {value!r}"


network_labels = Rule(
    name="network-labels",
    description="A network says which stack it belongs to: clean-up goes by that.",
    fix=f"Set the label {STACK_LABEL}, as a literal.",
    check=_stack_label,
    resource_type=NETWORK,
)
volume_labels = Rule(
    name="volume-labels",
    description="A volume says which stack it belongs to: clean-up goes by that.",
    fix=f"Set the label {STACK_LABEL}, as a literal.",
    check=_stack_label,
    resource_type=VOLUME,
)


def _refused(_: Inputs) -> Iterator[str]:
    yield "a resource that starts containers which no rule of this pack judges"


swarm_services = Rule(
    name="swarm-service",
    description="No container is started by way of a swarm.",
    fix="Make it a docker.Container.",
    check=_refused,
    resource_type="docker:index/service:Service",
)
engine_plugins = Rule(
    name="engine-plugin",
    description="The engine isn't extended by plugins, which run as root beside it.",
    fix="Remove the docker.Plugin.",
    check=_refused,
    resource_type="docker:index/plugin:Plugin",
)
