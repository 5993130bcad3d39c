# Docker. Its settings are written before it is installed, so that it never runs without them.
# shellcheck shell=sh disable=SC3013,SC2154 # dash, the sh of Debian and Ubuntu, has -nt; lib.sh sets the variables
file=/etc/docker/daemon.json
list=/etc/apt/sources.list.d/docker.sources
key=/etc/apt/keyrings/docker.asc

apply() {
    origin=$1 # distribution or docker
    settings=$2
    printf '%s\n' "$settings" | put "$file"
    "from_$origin"
    if dockerd --help | grep -q -- --validate && ! dockerd --validate --config-file "$file"; then
        give_back "$file"
        fail "This version of Docker refuses the settings. The former daemon.json was restored."
    fi
    if ! docker info >/dev/null 2>&1; then
        service docker start
    elif [ "$file" -nt /var/run/docker.pid ]; then
        # Reload first: it enables live-restore, which keeps containers running during the restart. Docker's init script
        # has no reload, so send the signal.
        kill -HUP "$(cat /var/run/docker.pid)"
        wait_for_settings
        service docker restart
    fi
    wait_for_settings
}

# wait_for_settings: wait until Docker answers with live-restore enabled, for 60 s.
wait_for_settings() {
    waited=0
    until [ "$(docker info --format '{{.LiveRestoreEnabled}}' 2>/dev/null)" = true ]; do
        [ "$waited" -lt 60 ] || fail "Docker does not answer with its new settings after 60 s. Its log: journalctl --unit docker"
        sleep 1
        waited=$((waited + 1))
    done
}

from_distribution() {
    need docker.io
    # Before Debian 13, docker.io contains the client.
    command -v docker >/dev/null || need docker-cli
}

from_docker() {
    need ca-certificates curl
    # shellcheck source=/dev/null
    . /etc/os-release
    mkdir -p "$(dirname "$key")"
    if [ ! -s "$key" ]; then
        # Not in a pipe, which would hide a failure of curl.
        armored=$(curl --fail --silent --show-error --location "https://download.docker.com/linux/$ID/gpg")
        printf '%s\n' "$armored" | put "$key"
    fi
    put "$list" <<END
Types: deb
URIs: https://download.docker.com/linux/$ID
Suites: $VERSION_CODENAME
Components: stable
Signed-By: $key
END
    # `need` skips the refresh when apt's lists are recent, but they may be older than this source.
    [ -n "$(apt-cache madison docker-ce)" ] || refresh
    need docker-ce docker-ce-cli containerd.io
}

undo() {
    give_back "$list"
    give_back "$key"
    give_back "$file"
    if [ "$given_back" = yes ] && docker info >/dev/null 2>&1; then service docker restart; fi
}
