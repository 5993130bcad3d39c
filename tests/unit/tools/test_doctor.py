"""Each check of `make doctor` finds its fault, in what real hosts print, and leads to a section that exists."""

import json
from collections.abc import Sequence

import pytest

from docs.reference import anchors
from infra.settings import PlatformSettings
from tests.program import platform_config
from tests.unit.tools.conftest import Program
from tools.commands import doctor as command
from tools.console.steps import Report, StepFailed
from tools.paths import ROOT
from tools.stack import doctor
from tools.stack.doctor import Finding
from tools.stack.health import ServiceState

NOW = 1_795_973_980.0
DAY = 86_400
INST = "Inst libssl3 [3.0.19-1~deb12u2] (3.0.22-1~deb12u2 Debian-Security:12/oldstable-security [amd64]) []"
UBUNTU = (
    "Inst openssl [3.0.13-0ubuntu3] (3.0.13-0ubuntu3.5 Ubuntu:24.04/noble-updates, Ubuntu:24.04/noble-security [a])"
)
CERTIFICATE = 'traefik_tls_certs_not_after{{cn="{cn}",sans="{sans}",serial="1"}} {end}\n'


def metrics(cn: str, sans: str, days: float) -> str:
    said = CERTIFICATE.format(cn=cn, sans=sans, end=NOW + days * DAY)
    return f"# HELP traefik_tls_certs_not_after Certificate\n# TYPE traefik_tls_certs_not_after gauge\n{said}"


def firing(*names: str) -> str:
    return json.dumps([{"metric": {"alertname": name}, "value": [NOW, "1"]} for name in names])


WILDCARD = metrics("example.com", "example.com,*.example.com", 60)
WELL = [
    doctor.clock([f"yes {NOW:.0f}"], NOW + 2),
    doctor.disk(["67%   10% /", "67%   10% /var/lib/docker"]),
    doctor.disk(["67%     - /"]),
    *(doctor.docker(version, "Debian GNU/Linux 12 (bookworm)") for version in ("20.10.24+dfsg1", "28.5.0-rc.1")),
    *(doctor.system([found]) for found in ("debian 12", "debian 13", "debian", "ubuntu 24.04")),
    doctor.firewall([]),
    doctor.updates([f"lists {NOW - DAY:.0f}"], NOW),
    doctor.services([ServiceState("api", "vps-api", "healthy", "app")], ["api"]),
    doctor.images({"api": ["vps/app:1"]}, ["vps/app:1"]),
    doctor.images({"api": ["ghcr.io/me/app@sha256:ab"]}, ["ghcr.io/me/app:1@sha256:ab"]),
    doctor.certificates(WILDCARD, ["example.com", "jaeger.example.com"], NOW),
    *doctor.alerts(firing("Watchdog")),
]
FAULTS = [
    (doctor.clock([f"no {NOW:.0f}"], NOW), "no time server"),
    (doctor.clock([f"yes {NOW + 90:.0f}"], NOW), "+90 s off"),
    (doctor.disk(["67%   10% /", "91%   10% /var/lib/docker"]), "91% of /var/lib/docker"),
    (doctor.disk(["67%   99% /"]), "99% of /"),
    (doctor.docker("19.03.15", "Ubuntu 20.04 LTS"), "19.03.15 on Ubuntu 20.04 LTS; the oldest"),
    (doctor.docker("20.9.1", "Docker Desktop"), "the oldest that is supported is 20.10"),
    (doctor.system(["debian 11"]), "debian 11; the oldest that is supported is 12"),
    (doctor.firewall(["no table inet vps is loaded", "nothing loads the rules at boot"]), "no table"),
    (doctor.updates(["restart", f"lists {NOW:.0f}"], NOW), "a restart is due"),
    (doctor.updates([INST, UBUNTU, f"lists {NOW:.0f}"], NOW), "2 security updates wait: libssl3, openssl"),
    (doctor.updates([f"lists {NOW - 9 * DAY:.0f}"], NOW), "for 9 days"),
    (doctor.services([], ["api"]), "api is missing"),
    (doctor.services([ServiceState("api", "vps-api", "unhealthy", "app")], ["api"]), "api is unhealthy"),
    (doctor.images({"api": ["vps/app:0"]}, ["vps/app:1"]), "api"),
    (doctor.images({"api": ["ghcr.io/me/app@sha256:ab"]}, ["ghcr.io/me/app:1@sha256:cd"]), "api"),
    (doctor.certificates(WILDCARD, ["a.b.example.com"], NOW), "a.b.example.com has none"),
    (doctor.certificates("", ["example.com"], NOW), "example.com has none"),
    (doctor.certificates(metrics("example.com", "", 5.2), ["example.com"], NOW), "5 days left"),
    (next(iter(doctor.alerts(firing("Watchdog", "DiskFull")))), "DiskFull fires"),
    (next(iter(doctor.alerts(firing()))), "Watchdog does not fire"),
]


@pytest.mark.parametrize("finding", WELL, ids=lambda finding: finding.check)
def test_what_is_well_is_not_wrong(finding: Finding) -> None:
    assert not finding.is_wrong


@pytest.mark.parametrize(("finding", "says"), FAULTS, ids=[f"{found.check}: {says}" for found, says in FAULTS])
def test_a_fault_is_told_with_a_runbook_that_exists(finding: Finding, says: str) -> None:
    assert says in finding.says
    document, _, section = finding.runbook.partition("#")
    assert section in anchors((ROOT / document).read_text())


@pytest.mark.parametrize(
    ("known", "runbook"),
    [
        ({"backup_last_success_time_seconds": NOW - DAY}, ""),
        ({"backup_last_success_time_seconds": NOW - DAY, "backup_drill_passed": 1}, ""),
        ({"backup_last_success_time_seconds": NOW - DAY, "backup_drill_passed": 0}, "restoredrillfailed"),
        ({"backup_last_success_time_seconds": NOW - 3 * DAY}, "backupmissing"),
        ({"backup_last_success_time_seconds": 0}, "backupmissing"),
        ({}, "backup-and-restore"),
    ],
)
def test_a_backup_is_missing_old_or_can_not_be_restored(known: dict[str, float], runbook: str) -> None:
    assert doctor.backup(known, NOW).runbook.partition("#")[2] == runbook


def test_the_script_prints_each_fact_under_its_name() -> None:
    said = "a banner\n== clock\nyes 1\n== firewall\n== updates\nrestart\nlists 5\n"
    assert doctor.facts(said) == {"clock": ["yes 1"], "firewall": [], "updates": ["restart", "lists 5"]}


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ("Host key verification failed.", "host key"),
        ("ssh: connect to host vps.example.com port 22: Connection timed out", "host"),
    ],
)
def test_a_server_that_can_not_be_asked_is_one_finding_each(
    program: Program, report: Report, monkeypatch: pytest.MonkeyPatch, said: str, check: str
) -> None:
    ssh = program("ssh", f"echo '{said}' >&2; exit 255")
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    settings = PlatformSettings.model_validate({"name": "vps-prod", **platform_config("prod")})

    def no_stack() -> Sequence[str]:
        raise StepFailed("PULUMI_BACKEND_URL is not set", "")

    found = list(command.examine(settings, no_stack, report))  # type: ignore[arg-type] # it never returns
    assert [it.check for it in found] == [check, "Docker", "drift"]
    for it in found:
        document, _, section = it.runbook.partition("#")
        assert section in anchors((ROOT / document).read_text())
