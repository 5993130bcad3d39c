"""The observability services of one real stack, after 200 executions and with one target stopped.

The tests share the stack and build on each other, in order.
"""

import contextlib
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import yaml

from infra.optional_services import SERVICES
from monitoring import promql
from monitoring.grafana.files import panel_queries
from monitoring.prometheus import rules
from tests.observed import MAY_BE_EMPTY, ROUND, execute
from tests.stack import holder
from tests.stack.servers import Servers, Webhook, address, webhook
from tests.stacks import StackFactory
from tests.waiting import until
from tools.commands.doctor import examine
from tools.console.steps import Report
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.stack import health
from tools.stack.local_stack import Stack

OBSERVABILITY = tuple(name for name in SERVICES if name not in ("grafana", "portainer", "openbao"))
SCRAPED = tuple(name for name in OBSERVABILITY if name != "status")
STOPPED = "node-exporter"
PORTS = {"prometheus": 9090, "alertmanager": 9093, "loki": 3100, "jaeger": 16686}
SCRAPE_SECONDS = 2
EXECUTIONS = 200
AT_ONCE = 4
QUICK = tuple(one for one in ROUND if one[0] != "python-data" and one[2] != "timeout")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def alerts_arrive(prepared: Preparation) -> Iterator[Webhook]:
    with webhook(prepared.engine.client()) as found:
        yield found


@pytest.fixture(scope="module")
def stack(
    new_stack: StackFactory, prepared: Preparation, report: Report, port: int, alerts_arrive: Webhook
) -> Iterator[Stack]:
    made = new_stack(
        edge={"http_port": port},
        sandbox={"requests_per_minute": 100_000, "queue_seconds": 60},
        services={
            "prometheus": {"scrape_seconds": SCRAPE_SECONDS},
            "alertmanager": {"webhook": True},
            # Room for the spans of all executions, which come at once.
            "jaeger": {"disk_mb": 1_000_000},
        },
    )
    made.set_secret("vps:alertWebhookUrl", alerts_arrive.url, report)
    made.up(report)
    health.wait(prepared.engine, made.prefix, f"http://localhost:{port}", report)
    yield made
    new_stack.remove(made)


def _reached(stack: Stack, prepared: Preparation, port: int) -> Iterator[Servers]:
    with contextlib.ExitStack() as opened:

        def client(url: str) -> httpx.Client:
            return opened.enter_context(httpx.Client(base_url=url, timeout=60, trust_env=False))

        engine = prepared.engine.client()
        clients = {
            name: client(f"http://{address(engine, f'{stack.prefix}-{name}', f'{stack.prefix}-monitoring')}:{port}")
            for name, port in PORTS.items()
        }
        yield Servers(client(f"http://127.0.0.1:{port}"), clients)


@pytest.fixture(scope="module")
def servers(stack: Stack, prepared: Preparation, port: int) -> Iterator[Servers]:
    yield from _reached(stack, prepared, port)


@pytest.fixture
def restarted(stack: Stack, prepared: Preparation, port: int, executed: "Executed") -> Iterator[Servers]:
    """The servers after they were started again, which may give them other addresses."""
    yield from _reached(stack, prepared, port)


@dataclass(frozen=True)
class Executed:
    """The executions that ran: when the first began (seconds since 1970), and their ids."""

    begin: float
    ids: Sequence[str]
    series_after_a_round: float


@pytest.fixture(scope="module")
def executed(servers: Servers, stack: Stack, prepared: Preparation) -> Executed:
    """All the executions, started once every target is up. One target is stopped after the first round."""
    begin = time.time() - 5
    until(lambda: set(servers.targets().values()) == {"up"}, 30, "every target up")
    ids = [execute(servers, *one) for one in ROUND]
    refused = servers.edge.post("/execute", json={"environment": "cobol", "code": ""})
    assert refused.status_code == httpx.codes.BAD_REQUEST
    time.sleep(3 * SCRAPE_SECONDS)
    after_a_round = servers.value(OURS)
    prepared.engine.client().containers.get(f"{stack.prefix}-{STOPPED}").stop(timeout=1)
    rest = list(itertools.islice(itertools.cycle(QUICK), EXECUTIONS - len(ROUND)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ids += pool.map(lambda one: execute(servers, *one), rest)
    return Executed(begin, ids, after_a_round)


# Over half a minute, so that a scrape that is late on a busy machine loses no series.
OURS = """count(
  last_over_time({job=~"api|executor", __name__!~"container_.+"}[30s])
  or last_over_time({job="traefik", service="api@file"}[30s])
)"""


def test_every_service_is_healthy(stack: Stack, prepared: Preparation) -> None:
    states = {state.service: state.health for state in health.services(prepared.engine.client(), stack.prefix)}
    assert set(OBSERVABILITY) <= set(states), "one has no image here: see the stack's notices"
    assert {states[name] for name in OBSERVABILITY} <= {"healthy", "running"}
    assert [name for name in OBSERVABILITY if states[name] != "healthy"] == ["collector"]


def test_every_target_was_up_and_every_route_answered(servers: Servers, stack: Stack, executed: Executed) -> None:
    targets = servers.targets()
    jobs = {"api", "executor", "traefik", *SCRAPED}
    assert {job for job, route in targets if not route} == jobs
    assert {route for job, route in targets if job == "probe"} >= {"api", "traefik", "prometheus", "jaeger"}
    for expression, each in (("up", targets), ("probe_success", {key for key in targets if key[0] == "probe"})):
        good = servers.series(f"{expression} == 1", executed.begin)
        assert {(it["metric"]["job"], it["metric"].get("route", "")) for it in good} == set(each), expression


def test_the_log_line_of_an_execution_is_found_by_its_id_and_leads_to_its_trace(
    servers: Servers, executed: Executed
) -> None:
    execution = execute(servers, *ROUND[0])
    answered = time.monotonic()

    def lines_of(service: str) -> list[Any]:
        found = servers.logs(f'{{service="{service}"}} |= "{execution}"', executed.begin)
        return [(stream["stream"], *value) for stream in found for value in stream["values"]]

    ((labels, _, line, facts),) = until(lambda: lines_of("api"), 10, "the log line of an execution")
    assert time.monotonic() - answered < 10
    assert labels == {"service": "api", "source": "container", "level": "info"}
    logged = json.loads(line)
    assert logged["execution_id"] == execution
    assert facts["structuredMetadata"]["trace_id"] == logged["trace_id"]
    assert until(lambda: lines_of("executor"), 10, "its line in the executor's log")
    wanted = {("api", "execute"), *(("executor", name) for name in ("execution", "queue", "run", "clean-up"))}

    def spans() -> set[tuple[str, str]]:
        found = servers.spans(logged["trace_id"])
        return found if wanted <= found and "traefik" in dict(found) else set()

    assert {service for service, _ in until(spans, 30, "all spans of its trace")} == {"traefik", "api", "executor"}


def test_every_panel_has_data(servers: Servers, executed: Executed) -> None:
    silent = {
        query.expr: f"{query.dashboard}: {query.panel}"
        for query in panel_queries()
        if not (servers.logs if query.source == "loki" else servers.series)(query.expr, executed.begin)
    }
    assert silent.keys() <= MAY_BE_EMPTY.keys(), silent


def test_prometheus_loads_every_alert_and_has_the_metrics_that_it_reads(servers: Servers, executed: Executed) -> None:
    known = set(servers.get("prometheus", "/api/v1/label/__name__/values", start=executed.begin)["data"])
    missing: dict[str, str] = {}
    for alert in rules.alerts():
        servers.series(alert.expr, executed.begin)
        missing |= dict.fromkeys(promql.metrics(alert.expr) - known, alert.name)
    assert missing.keys() <= MAY_BE_EMPTY.keys(), missing
    groups = servers.get("prometheus", "/api/v1/rules")["data"]["groups"]
    # A rule that was not evaluated yet is `unknown`.
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    assert {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"} == {
        alert.name for alert in rules.alerts()
    }


def test_no_label_has_a_value_that_a_visitor_chooses(servers: Servers, executed: Executed) -> None:
    path = "/of-a-visitors-own-choosing"
    assert servers.edge.get(path, headers={"x-request-id": "visitors-own"}).status_code == httpx.codes.NOT_FOUND
    execute(servers, *ROUND[0])
    time.sleep(2 * SCRAPE_SECONDS)
    prometheus = servers.get("prometheus", "/api/v1/labels")["data"]
    of_metrics = {name: servers.get("prometheus", f"/api/v1/label/{name}/values")["data"] for name in prometheus}
    loki = servers.clients["loki"].get("/loki/api/v1/labels").json()["data"]
    of_logs = {name: servers.clients["loki"].get(f"/loki/api/v1/label/{name}/values").json()["data"] for name in loki}
    assert set(of_logs) == {"service", "source", "level"}
    values = {value for found in (of_metrics, of_logs) for of_label in found.values() for value in of_label}
    assert len(values) > 100
    assert not values & set(executed.ids)
    assert not [value for value in values if path in value or "visitors-own" in value]
    # The services see only addresses of Docker's networks; a client's address would be one of a bridge.
    client_addresses = re.compile(r"\b(172|192|10)\.\d+\.\d+\.\d+\b")
    assert not [value for value in values if client_addresses.search(value)]


def test_executions_add_no_series(servers: Servers, executed: Executed) -> None:
    # An empty pool adds a few series. A label with the id of each execution would add EXECUTIONS.
    assert servers.value(OURS) <= executed.series_after_a_round + EXECUTIONS / 2
    assert servers.value("prometheus_tsdb_head_series") < 15_000


def test_prometheus_and_loki_have_the_retention_of_the_settings(servers: Servers, stack: Stack) -> None:
    flags = servers.get("prometheus", "/api/v1/status/flags")["data"]
    assert flags["storage.tsdb.retention.time"] == "15d"
    loki = yaml.safe_load(servers.clients["loki"].get("/config").text)
    assert loki["limits_config"]["retention_period"] in ("360h", "15d", "2w1d")
    assert loki["compactor"]["retention_enabled"] is True
    assert [it["schema"] for it in loki["schema_config"]["configs"]] == ["v13"]


def test_the_watchdog_fires_and_the_alert_of_the_stopped_target_arrives(
    servers: Servers, executed: Executed, alerts_arrive: Webhook
) -> None:
    def shown() -> list[Any]:
        return [it for it in servers.get("alertmanager", "/api/v2/alerts") if it["labels"]["alertname"] == "Watchdog"]

    until(shown, 60, "the watchdog")

    def told() -> list[Any]:
        return [alert for alert in alerts_arrive.alerts() if alert["labels"]["alertname"] == "TargetMissing"]

    (alert,) = until(told, 120, "the alert of the stopped target")
    assert (alert["status"], alert["labels"]["job"]) == ("firing", STOPPED)
    assert alert["annotations"]["runbook_url"] == "docs/OPERATIONS.md#targetmissing"
    assert "Watchdog" not in {alert["labels"]["alertname"] for alert in alerts_arrive.alerts()}


def test_the_doctor_names_the_alert_and_the_service(stack: Stack, prepared: Preparation, report: Report) -> None:
    engine = stack.settings.engine.model_copy(update={"host": prepared.engine.url})
    settings = stack.settings.model_copy(update={"engine": engine})
    found = {finding.says: finding for finding in examine(settings, lambda: stack, report)}
    assert found["TargetMissing fires"].runbook == "docs/OPERATIONS.md#targetmissing"
    assert [says for says in found if says.endswith(("is exited", "is missing"))] == [f"{STOPPED} is exited"]


def test_the_alerts_about_containers_fire_for_real_ones(
    servers: Servers, stack: Stack, prepared: Preparation, executed: Executed, alerts_arrive: Webhook
) -> None:
    image = prepared.images.references["sandbox-python"]
    container = holder.start(prepared.engine.client(), image, stack.prefix)
    restarts = next(alert.expr for alert in rules.alerts() if alert.name == "ContainerRestarting")
    try:
        earlier = 'container_restarts{service="holder"} offset 20s'
        until(lambda: servers.series(earlier, executed.begin), 60, "its figures of 20 s ago")
        holder.exceed_memory(container)
        in_this_test = restarts.replace("15m", "20s")
        assert in_this_test != restarts
        (series,) = until(lambda: servers.series(in_this_test, executed.begin), 60, "the count of its restart")
        assert series["metric"]["service"] == "holder"
    finally:
        container.remove(force=True)
    wanted = {("ContainerKilledForMemory", "holder"), ("ContainerStopped", STOPPED)}

    def told() -> bool:
        fired = [alert["labels"] for alert in alerts_arrive.alerts() if alert["status"] == "firing"]
        return wanted <= {(labels["alertname"], labels.get("service")) for labels in fired}

    until(told, 180, f"the alerts {wanted}")


@pytest.mark.parametrize("service", [name for name in OBSERVABILITY if name != STOPPED])
def test_the_api_serves_while_a_service_is_down(
    servers: Servers, stack: Stack, prepared: Preparation, executed: Executed, service: str
) -> None:
    container = prepared.engine.client().containers.get(f"{stack.prefix}-{service}")
    container.kill()
    try:
        execute(servers, *ROUND[0])
    finally:
        container.start()


def test_no_service_lacks_a_place_to_write(stack: Stack, prepared: Preparation, executed: Executed) -> None:
    refused = re.compile(rb".*(read-only file system|permission denied|no space left on device).*", re.IGNORECASE)
    client = prepared.engine.client()
    for state in health.services(client, stack.prefix):
        found = refused.search(client.containers.get(state.container).logs())
        assert not found, f"{state.service}: {found and found[0].decode()}"


def test_a_second_up_changes_nothing(stack: Stack, executed: Executed, report: Report) -> None:
    stack.preview(report, "--expect-no-changes")


def test_the_status_page_answers_while_everything_else_is_down(
    restarted: Servers, stack: Stack, prepared: Preparation
) -> None:
    client = prepared.engine.client()
    containers = {it.service: client.containers.get(it.container) for it in health.services(client, stack.prefix)}

    def get(path: str, method: str = "GET") -> httpx.Response:
        return restarted.edge.request(method, path, headers={"host": "status.localhost"})

    def written(wanted: Callable[[Any], bool], what: str) -> None:
        """The page as the job writes it when it starts, in place of within a minute."""
        before = get("/status.json").json()["written"]
        containers["status"].restart()

        def found() -> bool:
            record = get("/status.json").json()
            return record["written"] != before and wanted(record["routes"]["api"])

        until(found, 120, what)

    written(lambda api: api["up"] is True and any(api["seconds"]), "that the api answers")
    assert 0 < next(iter(get("/status.json").json()["routes"]["api"]["days"].values())) <= 1
    until(lambda: "Everything answers." in get("/").text, 20, "the page that says so")
    containers["api"].kill()
    until(lambda: restarted.value('probe_success{route="api"}') == 0, 60, "the failing probe")
    written(lambda api: api["up"] is False, "that the api does not answer")
    # The job writes the page after the record.
    until(lambda: "Something does not answer." in get("/").text, 20, "the page that says so")
    for service in containers.keys() - {"traefik", "status", "api", STOPPED}:
        containers[service].kill()
    written(lambda api: api["up"] is None and api["days"], "that nobody knows")
    page = get("/")
    assert page.status_code == httpx.codes.OK
    assert "Nobody knows" in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-frame-options"] == "DENY"
    assert "<rss" in get("/feed.xml").text
    assert get("/", "POST").status_code == httpx.codes.METHOD_NOT_ALLOWED
    for path in ("/.feed.xml.next", "/../run/secrets/users", "/index.html"):
        assert get(path).status_code == httpx.codes.NOT_FOUND, path
    # Whoever takes over the job can't have the edge read its own files to visitors.
    containers["status"].exec_run(["ln", "-sf", "/run/secrets/users", "/var/lib/status/feed.xml"])
    assert get("/feed.xml").status_code == httpx.codes.SERVICE_UNAVAILABLE
    containers["status"].kill()
    assert get("/").text == page.text
