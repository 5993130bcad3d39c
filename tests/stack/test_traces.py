"""Jaeger as the program declares it: traces outlive a restart and a kill, and their rate is bounded."""

import secrets
import time
from collections.abc import Iterator

import httpx
import pytest
from docker.models.containers import Container
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from tests.declared import DeclaredServices
from tests.waiting import until
from tools.machine.preparation import Preparation

SPANS_PER_SECOND = 27
"""Of 100 MB for an hour."""


@pytest.fixture(scope="module")
def services(prepared: Preparation) -> Iterator[DeclaredServices]:
    found = DeclaredServices(prepared, services={"jaeger": {"retention_hours": 1, "disk_mb": 100}})
    try:
        yield found
    finally:
        found.remove()


@pytest.fixture(scope="module")
def jaeger(services: DeclaredServices) -> Container:
    container = services.start("jaeger")
    is_healthy(services, container)
    return container


def is_healthy(services: DeclaredServices, container: Container) -> None:
    until(lambda: services.client.containers.get(str(container.name)).health == "healthy", 30, "Jaeger to be healthy")


def send(services: DeclaredServices, *traces: str, spans: int = 1) -> None:
    now = time.time_ns()
    made = [
        Span(trace_id=bytes.fromhex(trace), span_id=secrets.token_bytes(8), name="run", start_time_unix_nano=now)
        for trace in traces
        for _ in range(spans)
    ]
    of_test = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value="test"))])
    request = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=of_test, scope_spans=[ScopeSpans(spans=made)])]
    )
    httpx.post(
        f"http://{services.address('jaeger')}:4318/v1/traces",
        content=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    ).raise_for_status()


def is_found(services: DeclaredServices, trace: str) -> bool:
    return httpx.get(f"http://{services.address('jaeger')}:16686/api/traces/{trace}").is_success


def test_a_trace_outlives_a_restart_and_a_kill(services: DeclaredServices, jaeger: Container) -> None:
    trace = secrets.token_hex(16)
    send(services, trace)
    until(lambda: is_found(services, trace), 30, "the trace")
    for end in (jaeger.restart, jaeger.kill):
        end()
        jaeger.start()
        is_healthy(services, jaeger)
        assert is_found(services, trace)


def test_traces_beyond_the_rate_are_dropped_as_a_whole(services: DeclaredServices, jaeger: Container) -> None:
    traces = [secrets.token_hex(16) for _ in range(40)]
    send(services, *traces, spans=3)
    until(lambda: any(is_found(services, trace) for trace in traces), 30, "some traces")
    time.sleep(2)
    kept = [trace for trace in traces if is_found(services, trace)]
    assert 1 <= len(kept) <= SPANS_PER_SECOND // 3 * 2  # they may fall into two seconds
