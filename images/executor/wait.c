/* Wait for a child process that is there already: pass SIGTERM and SIGINT on to it, reap orphans, and end as it does.
 *
 * usage: wait PID      the caller has blocked SIGCHLD, SIGTERM and SIGINT since before the child was made
 *
 * The exit code is the child's, or 128 and the number of the signal that ended it.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { BROKEN = 125, BY_SIGNAL = 128 };

int main(int argc, char **argv)
{
    sigset_t watched;
    pid_t child, ended;
    int status, signal_number;

    child = argc == 2 ? atoi(argv[1]) : 0;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGTERM);
    while (child > 0) {
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == child)
                return WIFEXITED(status) ? WEXITSTATUS(status) : BY_SIGNAL + WTERMSIG(status);
        if (ended < 0 || sigwait(&watched, &signal_number))
            break;
        if (signal_number != SIGCHLD)
            kill(child, signal_number);
    }
    return BROKEN;
}
