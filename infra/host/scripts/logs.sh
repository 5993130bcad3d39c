# Writes the host's log to files, which the collector reads. Since Debian 12 a host has only a journal, and the
# collector's image has no program that reads one.
# shellcheck shell=sh

apply() {
    # The defaults of the package do: systemd starts it, and it receives everything that goes to the journal. logrotate
    # keeps four weeks.
    need rsyslog logrotate
}

# Packages stay installed.
undo() {
    :
}
