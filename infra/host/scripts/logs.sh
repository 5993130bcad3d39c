# The host's own log as files, which the collector reads. Since Debian 12 a host keeps a journal only, and the
# collector's image holds nothing that could read one.
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
