"""What an operator would be asked for: each check says what is wrong and which runbook mends it.

The checks read facts: the output of one script on Docker's host, and what Docker, Traefik, Prometheus and Pulumi say.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tools.stack.health import ServiceState

_DAY = 86_400
CLOCK_SECONDS = 5
"""Seconds by which the host's clock may differ from ours; the connection takes a part of them."""
FULL_PERCENT = 85
DAYS_LEFT = 14
BACKUP_DAYS = 2
LISTS_DAYS = 3
OLDEST_DOCKER = (20, 10)
"""The oldest that the platform is tested with, as docs/GETTING_STARTED.md has it."""
OLDEST_DEBIAN = 12
NAMES = 4
"""Packages that are named; of more, the number is told."""

_ON_ANY_HOST = {
    "clock": """
        synchronised=$(timedatectl show --property=NTPSynchronized --value 2>/dev/null) || synchronised=
        if [ -z "$synchronised" ]; then
            synchronised=no
            if chronyc -c tracking 2>/dev/null | grep -q ',Normal$'; then synchronised=yes; fi
        fi
        echo "$synchronised $(date +%s)"
    """,
    "disk": "df --output=pcent,ipcent,target / /var/lib/docker 2>/dev/null | tail -n +2",
}
_ON_OURS = {
    # The kept rules in an empty network namespace, as the kernel would list them.
    "firewall": """
        table='nft --stateless list table inet vps'
        now=$($table 2>/dev/null) || now=
        kept=$(unshare --net sh -c "nft --file /etc/vps/firewall.nft && $table" 2>/dev/null) || kept=
        if [ -z "$now" ]; then echo "no table inet vps is loaded"
        elif [ "$now" != "$kept" ]; then echo "the rules in force are not those of the last up"; fi
        [ -e /etc/systemd/system/sysinit.target.wants/vps-firewall.service ] || echo "nothing loads the rules at boot"
        [ ! -e /run/vps-firewall/before ] || echo "rules are on trial"
    """,
    "system": '(. /etc/os-release && echo "$ID ${VERSION_ID:-}")',
    "updates": """
        [ ! -e /run/reboot-required ] || echo restart
        apt-get --simulate --quiet=2 dist-upgrade 2>/dev/null | grep -i '^Inst .*security' || true
        stat --format 'lists %Y' /var/lib/apt/lists
    """,
}
_HEADER = "== "


@dataclass(frozen=True)
class Finding:
    """The result of one check. `runbook` is where a document of this repository tells what to do."""

    check: str
    says: str
    runbook: str = ""

    @property
    def is_wrong(self) -> bool:
        return bool(self.runbook)


def script(of_ours: bool) -> str:
    """A shell script that prints the facts of Docker's host. With `of_ours`, the program has prepared that host."""
    parts = _ON_ANY_HOST | (_ON_OURS if of_ours else {})
    prelude = "export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
    return prelude + "".join(f"echo '{_HEADER}{name}'\n{part}\n" for name, part in parts.items())


def facts(said: str) -> dict[str, list[str]]:
    """The lines of each part of the script's output."""
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        if line.startswith(_HEADER):
            found[line.removeprefix(_HEADER)] = []
        elif found and line.strip():
            next(reversed(found.values())).append(line.strip())
    return found


def clock(lines: Sequence[str], now: float) -> Finding:
    synchronised, seconds = lines[0].split()
    off = int(seconds) - now
    if abs(off) > CLOCK_SECONDS:
        return Finding("clock", f"it is {off:+.0f} s off ours", _operations("clockwrong"))
    if synchronised != "yes":
        return Finding("clock", "no time server has set it", _operations("clockwrong"))
    return Finding("clock", "set by a time server")


def disk(lines: Sequence[str]) -> Finding:
    used = {}
    for line in lines:
        *percent, place = line.split()
        used[place] = max(int(share.rstrip("%")) for share in percent if share != "-")
    place, most = max(used.items(), key=lambda it: it[1])
    return Finding("disk", f"{most}% of {place} is used", _operations("diskfilling") if most > FULL_PERCENT else "")


def docker(version: str, system: str) -> Finding:
    """`version` is Docker's own word for it, for example `20.10.24+dfsg1`; `system` is what its containers run on."""
    is_old = tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_DOCKER
    return _version("Docker", f"{version} on {system}", is_old, ".".join(map(str, OLDEST_DOCKER)))


def system(lines: Sequence[str]) -> Finding:
    """The distribution and its release, for example `debian 12`. Debian's testing has none."""
    release = re.findall(r"\d+", lines[0])
    is_old = lines[0].startswith("debian") and bool(release) and int(release[0]) < OLDEST_DEBIAN
    return _version("system", lines[0], is_old, str(OLDEST_DEBIAN))


def firewall(lines: Sequence[str]) -> Finding:
    mends = "docs/DEPLOYMENT.md#the-firewall-and-a-change-that-would-lock-you-out"
    return Finding("firewall", "; ".join(lines) or "as the last up left it", mends if lines else "")


def updates(lines: Sequence[str], now: float) -> Finding:
    wrong = ["a restart is due"] if "restart" in lines else []
    waiting = [line.split()[1] for line in lines if line.startswith("Inst ")]
    some = ", ".join(waiting[:NAMES]) + (", ..." if len(waiting) > NAMES else "")
    wrong += [f"{len(waiting)} security updates wait: {some}"] if waiting else []
    age = (now - int(lines[-1].split()[1])) / _DAY
    wrong += [f"nobody has looked for updates for {age:.0f} days"] if age > LISTS_DAYS else []
    return Finding("updates", "; ".join(wrong) or "none waits", _operations("updates-of-the-host") if wrong else "")


def services(states: Sequence[ServiceState], wanted: Collection[str]) -> Finding:
    """`wanted` are the services that the settings switch on."""
    unwell = [f"{state.service} is {state.health}" for state in states if not state.is_well]
    unwell += [f"{name} is missing" for name in sorted(set(wanted) - {state.service for state in states})]
    mends = _operations("containerstopped") if unwell else ""
    return Finding("services", "; ".join(unwell) or f"{len(states)} healthy", mends)


def images(running: Mapping[str, Sequence[str]], wanted: Collection[str]) -> Finding:
    """`running` are the names and digests of each service's image, `wanted` the references that the settings name."""
    known = {reference.rpartition("@")[2] for reference in wanted}
    other = [service for service, names in running.items() if not {it.rpartition("@")[2] for it in names} & known]
    says = f"not what the settings name: {', '.join(other)}" if other else "those that the settings name"
    return Finding("images", says, "docs/DEPLOYMENT.md#preview-and-up" if other else "")


def certificates(metrics: str, hosts: Sequence[str], now: float) -> Finding:
    """What Traefik says of its certificates, and whether each host name has one."""
    ends: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples if family.name == "traefik_tls_certs_not_after" else ():
            for name in {sample.labels["cn"], *sample.labels["sans"].split(",")}:
                ends[name] = max(sample.value, ends.get(name, 0))
    of_hosts = {host: ends.get(host) or ends.get(f"*.{host.partition('.')[2]}") for host in hosts}
    wrong = [f"{host} has none" for host, end in of_hosts.items() if end is None]
    left = {host: (end - now) / _DAY for host, end in of_hosts.items() if end is not None}
    wrong += [f"{host} has {days:.0f} days left" for host, days in left.items() if days < DAYS_LEFT]
    says = "; ".join(wrong) or f"at least {min(left.values()):.0f} days left"
    return Finding("certificates", says, _operations("certificateexpiring") if wrong else "")


def alerts(answer: str) -> Iterator[Finding]:
    """Of the query ALERTS{alertstate="firing"}, in promtool's JSON."""
    firing = [it["metric"] for it in json.loads(answer)]
    names = sorted({str(labels["alertname"]) for labels in firing} - {"Watchdog"})
    if not any(labels["alertname"] == "Watchdog" for labels in firing):
        yield Finding("alerts", "Watchdog does not fire: no alert can be sent", _operations("watchdog"))
    for name in names:
        yield Finding("alerts", f"{name} fires", _operations(name.lower()))
    if not names:
        yield Finding("alerts", "none fires")


def backup(known: Mapping[str, float], now: float) -> Finding:
    """`known` are the figures of the backup service by name; empty where there is no such service."""
    if not known:
        return Finding("backup", "the setting backup is not set", _operations("backup-and-restore"))
    if not (made := known["backup_last_success_time_seconds"]):
        return Finding("backup", "there is none", _operations("backupmissing"))
    if not known.get("backup_drill_passed", 1):
        return Finding("backup", "the last drill failed", _operations("restoredrillfailed"))
    days = (now - made) / _DAY
    late = _operations("backupmissing") if days > BACKUP_DAYS else ""
    return Finding("backup", f"the last one is {days:.1f} days old", late)


def _version(check: str, found: str, is_old: bool, oldest: str) -> Finding:
    if not is_old:
        return Finding(check, found)
    says = f"{found}; the oldest that is supported is {oldest}"
    return Finding(check, says, _operations("versions-that-are-too-old"))


def _operations(section: str) -> str:
    return f"docs/OPERATIONS.md#{section}"
