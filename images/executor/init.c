/* PID 1 of a sandbox: runs one command, reaps orphans, passes signals on, and tells how the command ended.
 *
 * usage: init [-t COLUMNS ROWS] COMMAND [ARGUMENT...]
 *
 * Descriptor 3 takes a byte when the command has been executed, from when on signals reach it. In the end it takes the
 * command's wait status, as the 4 bytes that wait() gives; bit 16 is set when the command has failed and the limit of
 * processes was used up. By then all other processes are gone: the kernel takes a millisecond more to end PID 1 with its
 * namespaces, and nobody needs to wait for that. Nothing inside can write to the descriptor: the command does not
 * inherit it, and a process that is not dumpable has no /proc/1/fd for others, but under gVisor.
 *
 * With -t, the command's descriptors 0 to 2 are a pseudo terminal of the sandbox. What the command writes to it goes to
 * descriptor 1. Descriptor 0 brings records: a new size of the terminal, if its columns aren't 0, and bytes to type.
 * PID 1 leads the session, so that the terminal isn't hung up before all that the command wrote has been read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { STATUS = 3, NOT_FOUND = 127, NOT_EXECUTABLE = 126, BROKEN = 125, FULL = 1 << 16 };

/* Whether RLIMIT_NPROC is set, as it is where no control group counts the processes. */
static int under_gvisor(void)
{
    struct rlimit limit;

    return !getrlimit(RLIMIT_NPROC, &limit) && limit.rlim_cur != RLIM_INFINITY;
}

/* FULL when RLIMIT_NPROC leaves room for at most one more: the command's own place is free again. */
static int full(void)
{
    pid_t tried;
    int left;

    if (!under_gvisor())
        return 0;
    for (left = 2; left > 0; left--) {
        tried = fork();
        if (tried < 0)
            return FULL;
        if (tried == 0)
            pause();
    }
    return 0;
}

struct record {
    unsigned short columns, rows;
    unsigned int bytes; /* that follow */
};

static int terminal = -1, side = -1; /* PID 1's side of it, and the command's */
static int records = -1;
static unsigned int coming; /* bytes of the last record that are still to be read */
static char typed[4096];
static ssize_t typed_from, typed_to; /* the part of it that the terminal had no room for */

static int resize(unsigned short columns, unsigned short rows)
{
    struct winsize size = {.ws_row = rows, .ws_col = columns};

    return ioctl(terminal, TIOCSWINSZ, &size);
}

/* Make the terminal, as PID 1's controlling terminal. */
static int open_terminal(int columns, int rows)
{
    struct termios mode;

    terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (terminal < 0 || grantpt(terminal) || unlockpt(terminal) || resize(columns, rows))
        return -1;
    side = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    setsid();
    if (side < 0 || ioctl(side, TIOCSCTTY, 0) || tcgetattr(side, &mode))
        return -1;
    mode.c_iflag |= IUTF8;
    records = STDIN_FILENO;
    return tcsetattr(side, TCSANOW, &mode);
}

/* Pass on some of what was written to the terminal. Whether there was any. */
static int show(void)
{
    char written[4096];
    ssize_t count = read(terminal, written, sizeof written), at = 0, done;

    while (at < count && (done = write(STDOUT_FILENO, written + at, count - at)) > 0)
        at += done;
    return count > 0;
}

/* Read a record's head, or some of its bytes. */
static void take(void)
{
    struct record record;
    char *head = (char *)&record;
    ssize_t count, at = 0;

    if (coming) {
        typed_from = 0;
        typed_to = read(records, typed, coming < sizeof typed ? coming : sizeof typed);
        coming -= typed_to > 0 ? typed_to : 0;
        return;
    }
    /* What is missing of a head that was begun comes at once. */
    while (at < (ssize_t)sizeof record && (count = read(records, head + at, sizeof record - at)) > 0)
        at += count;
    if (at < (ssize_t)sizeof record) {
        records = -1;
        return;
    }
    coming = record.bytes;
    if (record.columns && !resize(record.columns, record.rows) && under_gvisor())
        kill(-tcgetpgrp(side), SIGWINCH); /* Linux does so itself */
}

static void type(void)
{
    ssize_t count = write(terminal, typed + typed_from, typed_to - typed_from);

    typed_from += count > 0 ? count : 0;
}

/* Serve the terminal, if there is one, until a signal has come. */
static void wait_for(int signals)
{
    struct pollfd watched[3] = {{.fd = signals, .events = POLLIN}};

    do {
        int waits = typed_from < typed_to;

        watched[1] = (struct pollfd){.fd = terminal, .events = POLLIN | (waits ? POLLOUT : 0)};
        watched[2] = (struct pollfd){.fd = waits ? -1 : records, .events = POLLIN};
        if (poll(watched, 3, -1) < 0)
            continue;
        if (watched[1].revents & POLLIN)
            show();
        if (watched[1].revents & POLLOUT)
            type();
        if (watched[2].revents)
            take();
    } while (!watched[0].revents);
}

static _Noreturn void run(char **command, const sigset_t *mask)
{
    int number;

    if (side < 0) {
        setsid();
    } else {
        setpgid(0, 0);
        tcsetpgrp(side, getpid());
        for (number = STDIN_FILENO; number <= STDERR_FILENO; number++)
            dup2(side, number);
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(command[0], command);
    _exit(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

int main(int argc, char **argv)
{
    int status, signals, with_terminal = argc > 4 && !strcmp(argv[1], "-t");
    struct signalfd_siginfo sent;
    sigset_t watched, inherited;
    pid_t command, ended;

    if (argc < 2 || prctl(PR_SET_DUMPABLE, 0) || fcntl(STATUS, F_SETFD, FD_CLOEXEC))
        return BROKEN;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGTTOU); /* for who takes the terminal's foreground */
    if (sigprocmask(SIG_BLOCK, &watched, &inherited))
        return BROKEN;
    signals = signalfd(-1, &watched, SFD_CLOEXEC);
    if (signals < 0 || (with_terminal && open_terminal(atoi(argv[2]), atoi(argv[3]))))
        return BROKEN;
    command = vfork(); /* returns here when the child has become the command, in a process group of its own */
    if (command < 0)
        return BROKEN;
    if (command == 0)
        run(argv + (with_terminal ? 4 : 1), &inherited);
    if (write(STATUS, "", 1) != 1)
        return BROKEN;
    for (;;) {
        wait_for(signals);
        if (read(signals, &sent, sizeof sent) != sizeof sent)
            return BROKEN;
        if (sent.ssi_signo != SIGCHLD) {
            kill(-command, sent.ssi_signo);
            continue;
        }
        while ((ended = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
            if (WIFSTOPPED(status)) {
                /* Nobody could continue what Ctrl-Z stopped, so it goes on, as without a shell's job control. */
                if (ended == command && WSTOPSIG(status) == SIGTSTP)
                    kill(-command, SIGCONT);
                continue;
            }
            if (ended != command)
                continue;
            if (status)
                status |= full();
            /* End everybody else. Again after each: gVisor's kill can miss a process that is just being forked. */
            do
                kill(-1, SIGKILL);
            while (wait(NULL) > 0);
            while (terminal >= 0 && show())
                ;
            return write(STATUS, &status, sizeof status) == sizeof status ? 0 : BROKEN;
        }
    }
}
