# Output is not buffered: it comes when it is written, and a stopped run keeps what it printed.
$stdout.sync = true
