"""The life of a VPS: fresh, prepared, used, attacked, changed, disconnected, restarted, destroyed.

The tests run in order, each on the state that the one before left. `vps.shell` does not use the network, as the console
of a provider does not.
"""

import contextlib
import dataclasses
import re
import shlex
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.environments import ENVIRONMENTS, VARIANTS, Environment
from tests.checkout import commands
from tests.interruptions import cut_off, interrupt, kill
from tests.stack.visitors import events, visiting, websocket
from tests.vps.attacker import NOTHING, PORTS, attack, attacker_reaches
from tests.vps.cloudflare import Cloudflare
from tests.vps.conftest import API, DOMAIN, IS_EMULATED, METADATA, RUN, Internet
from tests.vps.kept import Kept, with_backups
from tests.vps.kinds import Vps
from tests.vps.operator import Operator
from tests.vps.probes import (
    CONTAINERS,
    FILES,
    addresses_in,
    advertise,
    changed,
    connect,
    containers,
    execute,
    healthy,
    listen,
    networks_of_the_edge,
    newer,
    once_certified,
    other_key,
    replaced,
    seconds_from_boot,
    seen_by_the_edge,
    statuses,
    units_that_failed,
    without_rules,
)
from tests.vps.visits import Visitor, all_open_ports, open_ports
from tests.waiting import SLOWNESS, until
from tools.console.steps import Report, StepFailed
from tools.stack import backup, docker_objects, health
from tools.stack.config import merge
from tools.stack.local_stack import Stack

PROGRAM = "/usr/local/lib/vps/firewall"
NEXT_API = f"next.{DOMAIN}"
SERVICES = {"api", "executor", "status", "traefik"}
OPEN, LOCKED = (200,), (401, 200)
ROUTES = {"api": OPEN, "status": OPEN, "traefik": LOCKED}
SET_BY_DOCKER = "net.ipv4.conf.all.forwarding"
"""What Docker sets at its start. `destroy` leaves Docker, which is a package, running."""
SYSCTLS = (
    "sysctl net.ipv4.conf.all net.ipv4.tcp_syncookies net.ipv6.conf.all.forwarding net.ipv6.conf.eth0.accept_ra"
    f" | grep -v '^{SET_BY_DOCKER} '"
)
WHOLE = pytest.mark.skipif(not IS_EMULATED, reason="needs a machine of its own, as `make test VM=1` has it")
STARTS = "docker inspect --format '{{.Name}} {{.State.StartedAt}}' $(docker ps -q) | sort"


@pytest.fixture(scope="module", autouse=True)
def before(vps: Vps) -> dict[str, str]:
    """The files and kernel parameters of the fresh host, before the first test that runs."""
    return {"files": vps.shell(FILES), "sysctls": vps.shell(SYSCTLS)}


def test_a_preview_of_a_fresh_host_needs_no_docker_and_changes_nothing(
    operator: Operator, internet: Internet, production: Stack, before: dict[str, str], vps: Vps
) -> None:
    # Without the firewall, the attacker reaches sshd.
    assert attacker_reaches(internet) == {address: {22} for address in NOTHING}
    operator.preview(production)
    assert vps.shell(FILES) == before["files"]


def test_the_host_key_in_the_settings_is_what_ssh_keyscan_prints(internet: Internet, vps: Vps) -> None:
    printed = internet.operator.run("ssh-keyscan", "-T", "60", "-t", "ed25519", vps.namespace.ipv4)
    assert printed.strip() == f"{vps.namespace.ipv4} {vps.host_key}"


def test_a_host_with_another_key_than_the_pinned_one_is_refused(
    operator: Operator, production: Stack, vps: Vps
) -> None:
    before = vps.shell(FILES)
    wrong = dataclasses.replace(production, overrides=changed(production, ssh={"host_key": other_key(vps)}))
    operator.configure(wrong)
    with pytest.raises(StepFailed, match="host key"):
        operator.up(wrong)
    assert vps.shell(FILES) == before
    operator.configure(production)


def test_an_interrupted_up_is_mended(operator: Operator, stack: Stack, vps: Vps) -> None:
    def run() -> None:
        operator.up(stack)

    # The connection breaks while apt installs Docker; then Pulumi is killed, and interrupted, between two containers.
    cut_off(run, lambda: "docker.io" in vps.shell("ps axww"), lambda _: vps.cut_connections())
    cut_off(run, lambda: containers(vps, stack) >= 1, kill)
    operator.mend(stack)
    cut_off(run, lambda: containers(vps, stack) >= 3, interrupt)
    operator.mend(stack)


def test_up_ends_with_healthy_services(operator: Operator, stack: Stack, vps: Vps) -> None:
    operator.up(stack)
    assert healthy(vps, stack) == SERVICES


def test_every_host_name_has_records_with_the_hosts_addresses(cloudflare: Cloudflare, internet: Internet) -> None:
    for kind, address in {"A": internet.vps.ipv4, "AAAA": internet.vps.ipv6}.items():
        kept = {name: record["content"] for name, record in cloudflare.kept(kind).items()}
        assert kept == dict.fromkeys((API, f"status.{DOMAIN}", f"traefik.{DOMAIN}"), address)


def test_the_api_answers_over_https_with_a_certificate_of_the_authority(visitors: list[Visitor]) -> None:
    for visitor in visitors:
        answer = once_certified(partial(visitor.ask, "GET", f"https://{API}/health"))
        assert answer.json()["engine"] == "reachable"
        assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize(
    "environment", [*(ENVIRONMENTS[name] for name in RUN), *VARIANTS.values()], ids=lambda it: it.name
)
def test_each_environment_works(visitors: list[Visitor], environment: Environment) -> None:
    said = execute(visitors, environment.hello, environment.name)
    # SQL prints a table.
    assert ["Hello, World!" in output for output in said] == [True, True], said


def test_each_url_of_the_outputs_answers_over_https_and_asks_for_its_password(
    visitors: list[Visitor], stack: Stack, report: Report
) -> None:
    for visitor in visitors:
        assert statuses(visitor, stack, report) == ROUTES


def test_the_edge_trusts_the_forwarded_headers_of_cloudflare(
    visitors: list[Visitor], internet: Internet, stack: Stack, vps: Vps
) -> None:
    for visitor, address, claim in zip(
        visitors, internet.cloudflare.addresses, ("203.0.113.7", "2001:db8:7::7"), strict=True
    ):
        assert seen_by_the_edge(visitor, API, claim, stack, vps) == (address, claim)


def test_docker_runs_with_its_settings(vps: Vps, operator: Operator) -> None:
    assert vps.shell("docker info --format '{{.LiveRestoreEnabled}} {{.LoggingDriver}}'").split() == [
        "true",
        "json-file",
    ]
    image = operator.prepared.images.references["executor"]
    any_container = f"docker run --rm --network none --entrypoint grep {image} NoNewPrivs /proc/self/status"
    assert vps.shell(any_container).split() == ["NoNewPrivs:", "1"]
    assert "docker-proxy" not in vps.shell("ps ax")


def test_sshd_takes_keys_only_and_the_deploy_user_gets_no_shell(vps: Vps) -> None:
    effective = vps.shell("sshd -T -C user=root,host=x,addr=192.0.2.10").splitlines()
    assert "passwordauthentication no" in effective
    assert "permitrootlogin without-password" in effective
    deploy = vps.shell("sshd -T -C user=deploy,host=x,addr=192.0.2.10").splitlines()
    assert "forcecommand docker system dial-stdio" in deploy
    assert "allowtcpforwarding no" in deploy


def test_the_settings_of_the_host_are_in_force(vps: Vps) -> None:
    assert vps.shell("sysctl -n net.ipv4.conf.all.send_redirects net.ipv4.tcp_syncookies").split() == ["0", "1"]
    assert 'Unattended-Upgrade "1"' in vps.shell("apt-config dump | grep Periodic")
    assert vps.shell("fail2ban-client status").count("sshd") == 1
    assert vps.shell("cat /etc/timezone").strip() == "Etc/UTC"


def test_the_hosts_log_is_in_files_that_the_collector_reads(operator: Operator, vps: Vps) -> None:
    vps.start_rsyslogd()
    assert operator.signs_in(vps) == 0
    until(lambda: "Accepted publickey for root" in vps.shell("cat /var/log/auth.log", check=False), 30, "sshd's line")
    assert vps.shell("stat -c %G /var/log/auth.log").strip() == "adm"
    assert "/var/log/auth.log" in vps.shell("cat /etc/logrotate.d/rsyslog")


def test_a_host_that_forwards_ipv6_still_accepts_router_advertisements(internet: Internet, vps: Vps) -> None:
    assert vps.shell("sysctl -n net.ipv6.conf.eth0.forwarding").strip() == "1"
    learned = "ip -6 route show default proto ra"
    (address,) = re.findall(r"inet6 (\S+)/", vps.shell("ip -6 address show dev eth0 scope link"))
    advertise(internet.cloud, address, seconds=600)
    until(lambda: vps.shell(learned), 10, "the advertised route")
    advertise(internet.cloud, address, seconds=0)
    until(lambda: not vps.shell(learned), 10, "the end of the route")


def test_the_attacker_reaches_nothing(internet: Internet, stack: Stack, vps: Vps) -> None:
    assert attacker_reaches(internet) == NOTHING
    # Nor by routing packets to a container's own address through the VPS.
    inside = addresses_in(networks_of_the_edge(vps, stack).values())
    for address in inside:
        host = internet.vps.ipv6 if ":" in address else internet.vps.ipv4
        internet.attacker.run("ip", "route", "replace", address, "via", host, "dev", "eth0", "onlink")
    reached = all_open_ports(internet.attacker, inside, (8080, 8082, 8086, 8443, 8446), 1)
    assert reached == {address: set() for address in inside}


def test_only_the_public_network_has_ipv6(stack: Stack, vps: Vps) -> None:
    networks = networks_of_the_edge(vps, stack)
    assert len(networks) > 1
    assert [name for name, network in networks.items() if network["GlobalIPv6Address"]] == [
        f"{stack.prefix}-public-ipv6"
    ]


def test_the_operator_reaches_sshd_and_the_proxy_the_edge(operator: Operator, internet: Internet) -> None:
    addresses = internet.vps.addresses
    assert all_open_ports(internet.operator, addresses, PORTS, 1) == {address: {22} for address in addresses}
    assert all_open_ports(internet.cloudflare, addresses, PORTS, 1) == {address: {80, 443} for address in addresses}


def test_containers_reach_neither_the_metadata_addresses_nor_the_hosts_services(
    internet: Internet, operator: Operator, stack: Stack, vps: Vps
) -> None:
    network = f"{stack.prefix}-public-ipv6"
    public = networks_of_the_edge(vps, stack)[network]
    gateways = (public["Gateway"], public["IPv6Gateway"])
    image = operator.prepared.images.references["executor"]

    hosts = [*((address, 80) for address in METADATA), *((host, 22) for host in (*gateways, *internet.vps.addresses))]
    probes = "".join(f"({connect(host, port)} && echo {host}) & " for host, port in hosts)
    container = f"docker run --rm --network {network} --entrypoint bash {image} -c {shlex.quote(f'{probes} wait')}"
    with contextlib.ExitStack() as listening:
        for address in METADATA:
            listening.enter_context(listen(internet.cloud, address, 80))
            vps.shell(connect(address, 80))
        assert vps.shell(f"{container} 2>/dev/null") == ""
        # Without the rules, the same probes succeed.
        with without_rules(vps):
            assert set(vps.shell(f"{container} 2>/dev/null").split()) == {host for host, _ in hosts}


def test_without_the_rules_a_strangers_forwarded_header_is_ignored(
    internet: Internet, trust: ssl.SSLContext, stack: Stack, vps: Vps
) -> None:
    # As with web_sources: anyone.
    with without_rules(vps):
        for address, own in zip(internet.vps.addresses, internet.attacker.addresses, strict=True):
            stranger = Visitor(internet.attacker, address, trust)
            assert seen_by_the_edge(stranger, API, "203.0.113.8", stack, vps) == (own, own)
        # Without the rules, routing through the VPS works (see test_the_attacker_reaches_nothing).
        public = networks_of_the_edge(vps, stack)[f"{stack.prefix}-public-ipv6"]
        for address, port in ((public["IPAddress"], 8443), (public["GlobalIPv6Address"], 8446)):
            assert open_ports(internet.attacker, address, (port,)) == {port}


def test_a_restart_of_docker_opens_no_port(internet: Internet, visitors: list[Visitor], vps: Vps, stack: Stack) -> None:
    with attack(internet, scans=2), ThreadPoolExecutor() as pool:
        during = pool.submit(execute, visitors[:1], "sleep 15; echo through")
        until(lambda: "sleep 15" in vps.shell("ps axww"), 10, "an execution")
        vps.shell("service docker restart")
        until(lambda: "true" in vps.shell("docker info -f '{{.LiveRestoreEnabled}}'", check=False), 30, "Docker")
    assert during.result() == ["through\n"]
    # Docker's health states may still be those from before the restart.
    well = partial(visitors[0].ask, "GET", f"https://{API}/health")
    until(lambda: well().status_code == httpx.codes.OK, 60, "a healthy api")
    assert execute(visitors, "echo still") == ["still\n"] * 2


@WHOLE
def test_an_upgrade_of_docker_restarts_no_service(visitors: list[Visitor], vps: Vps) -> None:
    before = vps.shell(STARTS)
    # There is no newer version without a network. For the same one, the package's scripts leave dockerd running.
    vps.shell("DEBIAN_FRONTEND=noninteractive apt-get install --reinstall --yes docker.io")
    vps.shell("systemctl restart docker")
    assert until(lambda: vps.shell(STARTS, check=False), 60, "Docker") == before
    assert execute(visitors, "echo through") == ["through\n"] * 2


@WHOLE
def test_the_documented_updates_of_the_host_run_and_restart_no_service(operator: Operator, vps: Vps) -> None:
    (script,) = (it for it in commands("docs/OPERATIONS.md", "Ask the doctor") if "unattended-upgrade" in it)
    updates, docker, restart = script.splitlines()
    before = vps.shell(STARTS)
    operator.run(vps, updates.replace("--verbose", "--dry-run"))
    operator.run(vps, updates)
    # There is nothing newer without a network.
    assert "0 upgraded, 0 newly installed, 0 to remove" in operator.run(vps, docker)
    assert vps.shell(STARTS) == before
    # A later test restarts the host.
    assert restart.endswith("systemctl reboot")


def test_no_port_opens_while_rules_are_replaced(internet: Internet, vps: Vps) -> None:
    rules = vps.shell("cat /etc/vps/firewall.nft")
    with attack(internet, scans=50) as is_going_on:
        while is_going_on():
            vps.shell(f"{PROGRAM} try 30 <<'END'\n{rules}END\n{PROGRAM} keep")


def test_the_host_restores_the_rules_when_new_ones_lock_us_out(
    operator: Operator, internet: Internet, stack: Stack, vps: Vps
) -> None:
    inside = vps.shell("nft list table inet vps | grep -v counter")
    locked = dataclasses.replace(stack, overrides=changed(stack, firewall={"ssh_sources": ["203.0.113.0/32"]}))
    operator.configure(locked)
    with pytest.raises(StepFailed):
        operator.up(locked)
    until(lambda: open_ports(internet.operator, internet.vps.ipv4, (22,), 1) == {22}, 30, "the restored rules")
    assert vps.shell("nft list table inet vps | grep -v counter") == inside
    assert vps.shell(f"{PROGRAM} keep 2>&1 || true").startswith("No rules are on trial")
    operator.configure(stack)


def test_a_second_up_changes_nothing(operator: Operator, stack: Stack, vps: Vps) -> None:
    running = vps.shell(CONTAINERS)
    said = operator.up(stack)
    assert not re.search(r"\d+ (created|updated|replaced|deleted)", said)
    assert not operator.sees_drift(stack)
    assert vps.shell(CONTAINERS) == running


def test_the_doctor_tells_what_is_wrong(operator: Operator, stack: Stack, vps: Vps) -> None:
    # No chronyd runs in these namespaces, and what Debian has published since the image was made is not the test's.
    anyway = operator.finds_wrong(stack)
    assert anyway - {"clock", "updates"} == {"backup"}
    with without_rules(vps):
        assert operator.finds_wrong(stack) - anyway == {"firewall"}
    other = dataclasses.replace(stack, overrides=changed(stack, ssh={"host_key": other_key(vps)}))
    assert operator.finds_wrong(other) >= {"host key", "Docker"}


def test_changed_settings_replace_only_what_depends_on_them(
    operator: Operator, stack: Stack, vps: Vps, cloudflare: Cloudflare
) -> None:
    running = vps.shell(CONTAINERS)
    without = {part: {**stack.overrides[part], "ipv6": None} for part in ("edge", "dns")}
    host = {**stack.overrides["host"], "time_zone": "Europe/Berlin"}
    changed = dataclasses.replace(stack, overrides={**stack.overrides, **without, "host": host})
    operator.configure(changed)
    # Two commands: the time zone's, and Docker's, which restarts Docker but no container.
    assert "~ 2 updated" in operator.up(changed)
    assert vps.shell("date +%Z").strip() in ("CET", "CEST")
    assert "ip6" not in vps.shell("[ /var/run/docker.pid -nt /etc/docker/daemon.json ] && cat /etc/docker/daemon.json")
    assert cloudflare.kept("AAAA") == {}
    assert replaced(vps, running) == {"traefik"}
    assert vps.shell("docker network ls --filter name=public --format '{{.Name}}'").split() == [
        f"{stack.prefix}-public"
    ]
    # The next test's `up` brings IPv6 back.
    operator.configure(stack)


def test_a_container_that_was_removed_by_hand_is_noticed_and_made_again(
    operator: Operator, visitors: list[Visitor], stack: Stack, vps: Vps
) -> None:
    vps.shell("docker rm -f $(docker ps --quiet --filter label=vps.service=api)")
    assert operator.sees_drift(stack)
    operator.mend(stack)
    operator.up(stack)
    assert healthy(vps, stack) == SERVICES
    assert execute(visitors, "echo back") == ["back\n"] * 2


def test_a_rotated_password_replaces_only_the_edge_which_refuses_the_old_one(
    operator: Operator, visitors: list[Visitor], stack: Stack, vps: Vps, report: Report
) -> None:
    old, running = stack.secret("vps:dashboardPassword", report), vps.shell(CONTAINERS)
    new = operator.rotate(stack, "dashboardPassword")
    assert healthy(vps, stack) == SERVICES
    ask = partial(visitors[0].ask, "GET", f"https://traefik.{DOMAIN}/dashboard/")
    answers = [once_certified(partial(ask, auth=("admin", password))).status_code for password in (old, new)]
    assert answers == [httpx.codes.UNAUTHORIZED, httpx.codes.OK]
    assert replaced(vps, running) == {"traefik"}


def test_no_request_is_lost_while_a_unit_its_images_and_the_routes_are_replaced_over_ssh(
    operator: Operator, visitors: list[Visitor], stack: Stack, vps: Vps, cloudflare: Cloudflare
) -> None:
    changes = {
        "sandbox": {"queue_seconds": 11},
        "edge": {"api_hosts": [API, NEXT_API]},
        "images": {name: newer(vps, stack.overrides["images"][name]) for name in ("app", "executor")},
    }
    next_one = dataclasses.replace(stack, overrides=merge(stack.overrides, changes))
    operator.configure(next_one)
    running = vps.shell(CONTAINERS)
    post = partial(visitors[0].ask, "POST", f"https://{API}/execute")
    streams = (partial(events, post), lambda: websocket(f"https://{API}", **visitors[1].connection()))
    with visiting(post, *streams) as visits:
        until(lambda: visits.executions >= 5, 60, "visitors")
        operator.up(next_one)
        for visitor in visitors:
            answer = once_certified(partial(visitor.ask, "GET", f"https://{NEXT_API}/health"))
            assert answer.status_code == httpx.codes.OK
        seen = visits.executions
        until(lambda: visits.executions >= seen + 5, 60, "visitors of the next unit")
    assert visits.failures == []
    # The edge reads its routes again.
    assert replaced(vps, running) == {"api", "executor", "status"}
    assert NEXT_API in cloudflare.kept("A").keys() & cloudflare.kept("AAAA").keys()


def test_a_flame_graph_of_the_running_api_is_drawn_over_ssh(
    operator: Operator, visitors: list[Visitor], stack: Stack, vps: Vps, tmp_path: Path
) -> None:
    (command,) = commands("docs/OPERATIONS.md", "Where the time goes")
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            execute(visitors[:1], "true")

    with ThreadPoolExecutor(1) as visitor:
        visitor.submit(visit)
        try:
            operator.make(stack, command.replace("SECONDS=30", "SECONDS=3"), tmp_path / "copy")
        finally:
            stop.set()
    (drawn,) = (tmp_path / "copy/.vps/profiles").glob("prod-api-*.svg")
    assert "app/api/" in drawn.read_text()
    assert vps.shell("ls -d /var/tmp/profile-* 2>/dev/null || true") == ""


def test_no_secret_is_readable_anywhere(stack: Stack, vps: Vps, report: Report) -> None:
    keys = ("vps:dashboardPassword", "vps:cloudflareToken")
    values = [stack.secret(key, report) for key in keys] + [vps.identity.read_text().splitlines()[2]]
    states = [path.read_text(errors="replace") for path in stack.home.rglob("*") if path.is_file()]
    places = {
        "state": "".join(states),
        "Pulumi's log": report.log.read_text(),
        "processes": vps.shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'"),
        "containers": vps.shell("docker inspect $(docker ps -aq) $(docker volume ls -q) $(docker images -q)"),
        "images": vps.shell("for one in $(docker images -q); do docker history --no-trunc $one; done"),
        "logs": vps.shell("for one in $(docker ps -aq); do docker logs $one 2>&1; done; cat /var/log/*.log"),
    }
    assert all(places.values())
    for place, text in places.items():
        assert not [value for value in values if value in text], place


def test_a_restarted_host_has_its_firewall_before_its_services(
    internet: Internet, visitors: list[Visitor], stack: Stack, vps: Vps
) -> None:
    with attack(internet, scans=2):
        vps.reboot()
    assert healthy(vps, stack) == SERVICES
    assert execute(visitors, "echo again") == ["again\n"] * 2


@WHOLE
def test_systemd_has_started_all_of_it_in_order(vps: Vps) -> None:
    assert units_that_failed(vps) == ""
    began = [seconds_from_boot(vps, unit) for unit in ("vps-firewall", "systemd-networkd", "docker")]
    assert 0 < began[0] < began[1] < began[2]
    assert all(seconds_from_boot(vps, unit) for unit in ("fail2ban", "rsyslog", "apt-daily-upgrade.timer"))


@WHOLE
def test_swap_profiles_and_kernel_parameters_hold_after_a_restart(vps: Vps) -> None:
    assert "/var/swap-vps" in vps.shell("cat /proc/swaps")
    loaded = vps.shell("cat /sys/kernel/security/apparmor/profiles").splitlines()
    assert {"vps-executor (enforce)", "vps-sandbox (enforce)"} <= set(loaded)
    wanted = vps.shell("grep ' = ' /etc/sysctl.d/99-vps.conf").splitlines()
    assert vps.shell(f"sysctl {' '.join(line.split()[0] for line in wanted)}").splitlines() == wanted


@WHOLE
def test_whoever_guesses_keys_is_banned(internet: Internet, operator: Operator, vps: Vps, tmp_path: Path) -> None:
    guesser = "192.0.2.66"
    internet.operator.run("ip", "address", "add", f"{guesser}/32", "dev", "eth0")
    internet.operator.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other"))
    for _ in range(6):
        assert operator.signs_in(vps, "-b", guesser, identity=tmp_path / "other") != 0
    until(lambda: guesser in vps.shell("fail2ban-client status sshd"), 30, "a ban")
    assert operator.signs_in(vps, "-b", guesser) != 0
    assert operator.signs_in(vps) == 0


def test_recover_brings_the_platform_back_on_an_empty_server(
    operator: Operator, visitors: list[Visitor], stack: Stack, vps: Vps, storage: Vps
) -> None:
    backed_up = with_backups(stack, storage, operator.report)
    operator.configure(backed_up)
    operator.up(backed_up)
    healthy(vps, stack)
    routes = ROUTES | dict.fromkeys(("prometheus", "alertmanager", "jaeger"), LOCKED)
    assert statuses(visitors[0], stack, operator.report) == routes
    # The certificate of the API's name would be one of two: it had another name beside it.
    kept = Kept(visitors[0], API, certified=f"status.{DOMAIN}")
    kept.make(vps)
    until(lambda: kept.is_found(vps), 60, "what the platform keeps")
    backup.ask(vps.engine.client(), health.services(vps.engine.client(), stack.prefix), "now")
    # It is lost while it reads the repository, whose lock stays behind.
    vps.shell(f"docker exec --detach {stack.prefix}-backup python -m app.backup check")
    until(lambda: storage.shell("ls /root/backups/prod/locks"), 30, "the lock of the server that is lost next")
    vps.replace()
    with pytest.raises(StepFailed, match="has another key"):
        operator.recover(backed_up)
    renewed = dataclasses.replace(backed_up, overrides=changed(backed_up, ssh={"host_key": vps.host_key}))
    operator.configure(renewed)
    begin = time.monotonic()
    operator.recover(renewed)
    healthy(vps, stack)
    until(lambda: kept.is_found(vps), 60, "what the platform had kept")
    assert statuses(visitors[1], stack, operator.report) == routes
    assert time.monotonic() - begin < 600 * SLOWNESS
    assert not operator.sees_drift(renewed)
    with pytest.raises(StepFailed, match="is not empty"):
        operator.recover(renewed)


def test_destroy_restores_the_host_but_leaves_packages(
    operator: Operator, stack: Stack, vps: Vps, cloudflare: Cloudflare, before: dict[str, str]
) -> None:
    operator.destroy(stack)
    assert docker_objects.find(vps.engine.client(), stack.prefix).names == []
    # The edge's own record stays when its server is lost, or removed, while it asks for a certificate.
    assert {it["name"] for it in cloudflare.records.values() if not it["name"].startswith("_acme-challenge.")} == set()
    changed = set(vps.shell(FILES).splitlines()) ^ set(before["files"].splitlines())
    paths = {line.split(maxsplit=1)[1] for line in changed}
    assert {
        path
        for path in paths
        if not vps.shell(f"dpkg -S {path} 2>/dev/null || grep -l {path} /var/lib/dpkg/info/*.postinst", check=False)
    } == set()
    assert vps.shell(SYSCTLS) == before["sysctls"]
    assert "table inet vps" not in vps.shell("nft list tables")
    assert vps.shell("ls -d /etc/vps /var/lib/vps /usr/local/lib/vps /home/deploy 2>/dev/null || true") == ""
