# The Docker engine. Its settings are there before it is, so that it never runs without them.
# shellcheck shell=sh disable=SC3013,SC2154 # dash, which is sh on Debian and Ubuntu, has -nt; lib.sh sets the rest
file=/etc/docker/daemon.json
list=/etc/apt/sources.list.d/docker.sources
key=/etc/apt/keyrings/docker.asc

apply() {
    origin=$1 # distribution or docker
    settings=$2
    runtime=$3 # the OCI runtime that the settings name
    # runc comes with the engine, and is no package of its own in Docker's repository.
    [ "$runtime" = runc ] || need "$runtime"
    printf '%s\n' "$settings" | put "$file"
    "from_$origin"
    if dockerd --help | grep -q -- --validate && ! dockerd --validate --config-file "$file"; then
        give_back "$file"
        fail "This version of Docker refuses the settings. The file is as it was before us."
    fi
    if ! docker info >/dev/null 2>&1; then
        service docker start
    elif [ "$file" -nt /var/run/docker.pid ]; then
        # With live-restore, which a reload brings into force, containers live on while Docker restarts. Its script for
        # init knows no reload.
        kill -HUP "$(cat /var/run/docker.pid)"
        wait_for_settings
        service docker restart
    fi
    wait_for_settings
}

# wait_for_settings: until Docker answers, and has read that containers live on.
wait_for_settings() {
    waited=0
    until [ "$(docker info --format '{{.LiveRestoreEnabled}}' 2>/dev/null)" = true ]; do
        [ "$waited" -lt 60 ] || fail "Docker does not answer by its settings after 60 s. Its log: journalctl --unit docker"
        sleep 1
        waited=$((waited + 1))
    done
}

from_distribution() {
    need docker.io
    # Before Debian 13, the client is in the same package.
    command -v docker >/dev/null || need docker-cli
}

from_docker() {
    need ca-certificates curl
    # shellcheck source=/dev/null
    . /etc/os-release
    mkdir -p "$(dirname "$key")"
    if [ ! -s "$key" ]; then
        # Not through a pipe, which would hide that it failed.
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
    # The lists may be young, and older than this source.
    [ -n "$(apt-cache madison docker-ce)" ] || refresh
    need docker-ce docker-ce-cli containerd.io
}

undo() {
    give_back "$list"
    give_back "$key"
    give_back "$file"
    if [ "$given_back" = yes ] && docker info >/dev/null 2>&1; then service docker restart; fi
}
