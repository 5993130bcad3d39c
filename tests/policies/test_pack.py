"""The pack as Pulumi starts it: a process that answers over gRPC."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from app.profile import FLOOR
from policies.pack import POLICIES
from tests.policies.samples import container, executor
from tests.policies.support import Resource

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    command = [sys.executable, "-m", "pulumi.policy", "127.0.0.1:0", str(CHECKOUT / "policies")]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with subprocess.Popen(command, cwd=elsewhere, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port.isdecimal(), f"the pack's first line is not a port: {port!r}"
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield analyzer_pb2_grpc.AnalyzerStub(channel)
        finally:
            process.kill()


def _analyze(analyzer: analyzer_pb2_grpc.AnalyzerStub, resource: Resource) -> dict[str, int]:
    properties = Struct()
    properties.update(resource.inputs)
    request = analyzer_pb2.AnalyzeRequest(type=resource.type, name=resource.name, properties=properties)
    return {found.policyName: found.enforcementLevel for found in analyzer.Analyze(request).diagnostics}


def test_every_policy_is_mandatory(analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    levels = {policy.name: policy.enforcementLevel for policy in analyzer.GetAnalyzerInfo(Empty()).policies}
    assert levels == {policy.name: analyzer_pb2.MANDATORY for policy in POLICIES}


def test_a_sound_executor_passes(analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    assert _analyze(analyzer, executor()) == {}


def test_an_unknown_value_beside_it_does_not_turn_a_refusal_into_an_advisory(
    analyzer: analyzer_pb2_grpc.AnalyzerStub,
) -> None:
    weak = FLOOR.model_copy(update={"network": "host"}).model_dump_json()
    envs = [UNKNOWN_STRING_VALUE, f"EXECUTOR_PROFILE={weak}", UNKNOWN_STRING_VALUE]
    assert _analyze(analyzer, executor(envs=envs)) == {"sandbox-network": analyzer_pb2.MANDATORY}


def test_an_unknown_value_in_place_of_a_literal_is_refused(analyzer: analyzer_pb2_grpc.AnalyzerStub) -> None:
    found = _analyze(analyzer, container("x", privileged=UNKNOWN_STRING_VALUE))
    assert found == {"container-privileged": analyzer_pb2.MANDATORY}
