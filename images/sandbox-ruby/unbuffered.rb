# Output is not buffered: stdout and stderr keep their order, and a stopped run keeps what it printed.
$stdout.sync = true
