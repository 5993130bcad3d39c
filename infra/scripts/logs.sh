# The host's own log as files. Debian writes a journal only since 12, and nothing but files can be read by a container
# that holds no program of the host's: the collector, or `less` in an emergency.
# shellcheck shell=sh

apply() {
    # The package brings its configuration, is started with systemd, and gets what the journal gets. logrotate keeps
    # four weeks of it.
    need rsyslog logrotate
}

# Packages stay.
undo() {
    :
}
