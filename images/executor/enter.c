/* Start an OCI runtime for one sandbox: held by the sandbox's control groups from its first moment, and with the
 * sandbox's own device files as /dev, since the runtime binds those that it finds there into the sandbox.
 *
 * usage: enter DEVICES FILE... -- COMMAND [ARGUMENT...]      each FILE is the cgroup.procs of a control group
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { REFUSED = 125, NOT_FOUND = 127 };

static int refused(const char *what)
{
    perror(what);
    return REFUSED;
}

int main(int argc, char **argv)
{
    int at, file;

    if (argc < 2 || unshare(CLONE_NEWNS) || mount(argv[1], "/dev", NULL, MS_BIND, NULL))
        return refused(argv[1]);
    for (at = 2; at < argc && strcmp(argv[at], "--"); at++) {
        file = open(argv[at], O_WRONLY | O_CLOEXEC);
        if (file < 0 || write(file, "0", 1) != 1)
            return refused(argv[at]);
        close(file);
    }
    if (at + 1 >= argc)
        return REFUSED;
    execvp(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return NOT_FOUND;
}
