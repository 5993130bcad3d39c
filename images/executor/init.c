/* PID 1 of a sandbox: runs one command, reaps orphans, passes signals on, and tells how the command ended.
 *
 * usage: init [-t COLUMNS ROWS] COMMAND [ARGUMENT...]
 *
 * Descriptor 3 takes a byte when the command has been executed, from when on signals reach it. In the end it takes the
 * command's wait status, as the 4 bytes that wait() gives; bit 16 is set when the command has failed and the limit of
 * processes was used up. By then no other process runs any code: what the kernel still takes back, from them and from
 * PID 1 with its namespaces, nobody needs to wait for. Nothing inside can write to the descriptor: the command does not
 * inherit it, and a process that is not dumpable has no /proc/1/fd for others, but under gVisor.
 *
 * With -t, the command's descriptors 0 to 2 are a pseudo terminal of the sandbox. What the command writes to it goes to
 * descriptor 1. Descriptor 0 brings records: a new size of the terminal, if its columns aren't 0, and bytes to type.
 * PID 1 leads the session, so that the terminal isn't hung up before all that the command wrote has been read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { STATUS = 3, NOT_FOUND = 127, NOT_EXECUTABLE = 126, BROKEN = 125, FULL = 1 << 16 };

/* Milliseconds before PID 1 ends, unless it is killed: the end of its namespaces takes processor time from whoever
 * passes the answer on. */
enum { LINGER = 50 };

static pid_t command;
static sigset_t inherited; /* the signals that were blocked at the start */
static int stat_file = -1; /* the command's /proc/PID/stat */
static int running = -1;   /* hangs up when the command, and all that it has started, run no code any more */

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

/* Open `running`: the listener of a filter of system calls that allows all. It hangs up with the last process that has
 * the filter, as the command's descendants do. Since Linux 6.11 that is at the beginning of its end, before the kernel
 * takes back its memory: 0.7 ms earlier for Python. Without one, as under gVisor, PID 1 waits for the end. */
static void watch(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {.len = 1, .filter = &allow};

    running = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
}

/* The wait status of a command that is ending, or -1. */
static int status_so_far(void)
{
    enum { NAME = 2, EXIT_CODE = 52 }; /* fields of /proc/PID/stat */
    char text[2048], *at;
    size_t length;
    ssize_t count;
    void *list;
    int field;

    /* Who may not see the exit code reads a 0. Whoever may is given this list too. */
    if (syscall(SYS_get_robust_list, command, &list, &length))
        return -1;
    count = read(stat_file, text, sizeof text - 1);
    text[count > 0 ? count : 0] = 0;
    at = strrchr(text, ')'); /* the name's end: a program chooses its name */
    for (field = NAME; at && field < EXIT_CODE; field++)
        at = strchr(at + 1, ' ');
    return at ? atoi(at) : -1;
}

/* Write the status, unless it is written. Returns whether it is. */
static int tell(int status)
{
    static int told;

    told = told || write(STATUS, &status, sizeof status) == sizeof status;
    return told;
}

/* Serve the terminal, if there is one, until a signal has come. */
static void wait_for(int signals)
{
    struct pollfd watched[4] = {{.fd = signals, .events = POLLIN}};
    int status;

    do {
        int waits = typed_from < typed_to;

        watched[1] = (struct pollfd){.fd = terminal, .events = POLLIN | (waits ? POLLOUT : 0)};
        watched[2] = (struct pollfd){.fd = waits ? -1 : records, .events = POLLIN};
        watched[3] = (struct pollfd){.fd = running};
        if (poll(watched, 4, -1) < 0)
            continue;
        if (watched[1].revents & POLLIN)
            show();
        if (watched[1].revents & POLLOUT)
            type();
        if (watched[2].revents)
            take();
        if (watched[3].revents) {
            running = -1;
            status = status_so_far();
            if (status >= 0)
                tell(status);
        }
    } while (!watched[0].revents);
}

/* Become the command with these arguments, in a process group of its own. */
static int run(void *given)
{
    char **arguments = given;
    int number;

    if (side < 0) {
        setsid();
        watch();
    } else {
        setpgid(0, 0);
        tcsetpgrp(side, getpid());
        for (number = STDIN_FILENO; number <= STDERR_FILENO; number++)
            dup2(side, number);
    }
    sigprocmask(SIG_SETMASK, &inherited, NULL);
    execvp(arguments[0], arguments);
    _exit(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

int main(int argc, char **argv)
{
    int status, signals, with_terminal = argc > 4 && !strcmp(argv[1], "-t");
    static char stack[16384] __attribute__((aligned(16)));
    char path[32];
    struct signalfd_siginfo sent;
    sigset_t watched;
    pid_t ended;

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
    /* Returns when the child has become the command. It shares the descriptors until then, for `running`; unless there
     * is a terminal, of which all that was written is read first. */
    command = clone(run, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD | (side < 0 ? CLONE_FILES : 0),
                    argv + (with_terminal ? 4 : 1));
    if (command < 0)
        return BROKEN;
    snprintf(path, sizeof path, "/proc/%d/stat", command);
    stat_file = open(path, O_RDONLY | O_CLOEXEC);
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
            if (!tell(status))
                return BROKEN;
            if (!under_gvisor())
                poll(NULL, 0, LINGER);
            return 0;
        }
    }
}
