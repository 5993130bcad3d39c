/* PID 1 of a sandbox: runs one command, reaps orphans, passes signals on, and tells how the command ended.
 *
 * usage: init COMMAND [ARGUMENT...]
 *
 * Descriptor 3 takes a byte when the command has been executed, from when on signals reach it. In the end it takes the
 * command's wait status, as the 4 bytes that wait() gives; bit 16 is set when the command has failed and the limit of
 * processes was used up. Nothing inside can write to it: the command does not inherit it, and a
 * process that is not dumpable has no /proc/1/fd for others, but under gVisor.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS = 3, NOT_FOUND = 127, NOT_EXECUTABLE = 126, BROKEN = 125, FULL = 1 << 16 };

/* FULL when RLIMIT_NPROC, which is set where no control group counts the processes, leaves room for at most one more:
 * the command's own place is free again. */
static int full(void)
{
    struct rlimit limit;
    pid_t tried;
    int left;

    if (getrlimit(RLIMIT_NPROC, &limit) || limit.rlim_cur == RLIM_INFINITY)
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

int main(int argc, char **argv)
{
    sigset_t watched, inherited;
    pid_t command, ended;
    int status, signal_number;

    if (argc < 2 || prctl(PR_SET_DUMPABLE, 0) || fcntl(STATUS, F_SETFD, FD_CLOEXEC))
        return BROKEN;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &watched, &inherited))
        return BROKEN;
    command = vfork(); /* returns here when the child has become the command, in a process group of its own */
    if (command < 0)
        return BROKEN;
    if (command == 0) {
        setsid();
        sigprocmask(SIG_SETMASK, &inherited, NULL);
        execvp(argv[1], argv + 1);
        _exit(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
    }
    if (write(STATUS, "", 1) != 1)
        return BROKEN;
    for (;;) {
        if (sigwait(&watched, &signal_number))
            return BROKEN;
        if (signal_number != SIGCHLD) {
            kill(-command, signal_number);
            continue;
        }
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == command) {
                if (status)
                    status |= full();
                return write(STATUS, &status, sizeof status) == sizeof status ? 0 : BROKEN;
            }
    }
}
