"""Entry point of the policy pack. Pulumi runs this folder as a script, so the checkout has to be put on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi_policy import EnforcementLevel, PolicyPack

from policies.pack import NAME, POLICIES

PolicyPack(NAME, list(POLICIES), enforcement_level=EnforcementLevel.MANDATORY)
