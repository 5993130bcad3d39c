# Run programs one after the other, each in a session of its own with pipes, as PID 1 of a sandbox does.
# usage: perl outside.pl FOLDER...
# A folder has `command` (words that end with a NUL), `stdin`, and `files`, which is copied to /tmp. It gets `stdout`,
# `stderr`, `status` (of wait) and `results`, a copy of /tmp/results. Output of more than a pipe's size blocks.
use strict;
use warnings;
use POSIX ();

my $seconds = 60;

sub content {
    my ($name) = @_;
    open my $file, '<:raw', $name or die "$name: $!";
    local $/;
    return <$file> // '';
}

sub store {
    my ($name, $text) = @_;
    open my $file, '>:raw', $name or die "$name: $!";
    print {$file} $text;
    close $file or die "$name: $!";
}

for my $folder (@ARGV) {
    chdir '/tmp' or die $!;
    system('find', '/tmp', '-mindepth', '1', '-delete');
    system('cp', '-R', "$folder/files/.", '/tmp');
    my @command = split /\0/, content("$folder/command"), -1;
    pop @command;
    pipe my $stdin, my $in or die $!;
    pipe my $out, my $stdout or die $!;
    pipe my $err, my $stderr or die $!;
    my $pid = fork // die $!;
    if ($pid == 0) {
        POSIX::setsid();
        POSIX::dup2(fileno $stdin, 0);
        POSIX::dup2(fileno $stdout, 1);
        POSIX::dup2(fileno $stderr, 2);
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    close $_ for $stdin, $stdout, $stderr;
    local $SIG{PIPE} = 'IGNORE';
    syswrite $in, content("$folder/stdin");
    close $in;
    local $SIG{ALRM} = sub { kill 'KILL', -$pid };
    alarm $seconds;
    waitpid $pid, 0;
    my $status = $?;
    alarm 0;
    kill 'KILL', -$pid;
    local $/;
    store("$folder/stdout", scalar <$out>);
    store("$folder/stderr", scalar <$err>);
    store("$folder/status", $status);
    system('cp', '-R', '/tmp/results', $folder) if -d '/tmp/results';
}
