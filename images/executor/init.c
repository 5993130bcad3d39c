/* PID 1 of a sandbox: runs one command, reaps orphans, passes signals on, and tells how the command ended.
 *
 * usage: init COMMAND [ARGUMENT...]
 *
 * Descriptor 3 takes the command's wait status, as the 4 bytes that wait() gives. Nothing inside can write to it:
 * the command does not inherit it, and a process that is not dumpable has no /proc/1/fd for others.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS = 3, NOT_FOUND = 127, NOT_EXECUTABLE = 126, BROKEN = 125 };

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
    command = fork();
    if (command < 0)
        return BROKEN;
    if (command == 0) {
        setsid();
        sigprocmask(SIG_SETMASK, &inherited, NULL);
        execvp(argv[1], argv + 1);
        _exit(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
    }
    for (;;) {
        if (sigwait(&watched, &signal_number))
            return BROKEN;
        if (signal_number != SIGCHLD) {
            kill(-command, signal_number);
            continue;
        }
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == command)
                return write(STATUS, &status, sizeof status) == sizeof status ? 0 : BROKEN;
    }
}
