# stdout and stderr keep their order, and a run that is stopped keeps what it had printed.
$stdout.sync = true
