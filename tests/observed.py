"""What the tests of the observability services run, and which queries return nothing then."""

import httpx

from tests.stack.servers import Servers

# One round creates every series that there is; later executions must add none.
ROUND = (
    ("python", 'print("hello")', "success"),
    ("node", 'console.log("hello")', "success"),
    ("bash", "echo hello", "success"),
    ("python-data", "import numpy; print(numpy.arange(3).sum())", "success"),
    ("python", "1 / 0", "error"),
    ("bash", "exit 3", "error"),
    ("bash", "sleep 9", "timeout"),
    ("bash", "true || rm -rf /", "success"),
)

# Queries and metrics without a series in this test, with the reason.
NO_CERTIFICATE = "TLS is off"
NO_BACKUP = "backups are off"
NO_OPENBAO = "services.openbao is off"
NOTHING_WRONG = "it counts faults, and there was none"
SELDOM = "it is computed less often than this test is long"
MAY_BE_EMPTY = {
    "min(certificate:days_left)": NO_CERTIFICATE,
    "min by (certificate) (certificate:days_left)": NO_CERTIFICATE,
    "certificate:days_left": NO_CERTIFICATE,
    'sum by (router) (rate(traefik_router_requests_total{code="429"}[5m]))': "no request exceeded the limit",
    '{source="host"}': "the machine may have no syslog daemon",
    'slo:budget_left:14d{slo="answered"}': SELDOM,
    'slo:budget_left:14d{slo="in_time"}': SELDOM,
    '{level=~"warning|error|critical"}': NOTHING_WRONG,
    "sandbox_died_idle_total": NOTHING_WRONG,
    "sandbox_engine_errors_total": NOTHING_WRONG,
    "loki_discarded_samples_total": NOTHING_WRONG,
    "api_key_executions_total": "no site has a key",
    'sum(api_room_members{kind="sync"})': "rooms are off",
    "backup_last_success_time_seconds": NO_BACKUP,
    "backup_drill_passed": NO_BACKUP,
    "keeper_openbao_answers": NO_OPENBAO,
    "keeper_agent_token_expires_time_seconds": NO_OPENBAO,
    "keeper_logins_opened_total": NO_OPENBAO,
}


def execute(servers: Servers, environment: str, code: str, status: str) -> str:
    """The id of an execution, which must end with `status`."""
    timeout = 1 if status == "timeout" else 10
    answer = servers.edge.post("/execute", json={"environment": environment, "code": code, "timeout": timeout})
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json()["status"] == status, answer.json()
    return str(answer.json()["execution_id"])
