/* Start an OCI runtime for one sandbox: held by the sandbox's control groups from its first moment, killed first when
 * the executor's own group is out of memory, and with the sandbox's own device files as /dev, since the runtime binds
 * those that it finds there into the sandbox.
 *
 * The order of killing is inherited. runsc would set it once the sandbox runs, and fail when it has ended by then.
 *
 * usage: enter DEVICES FILE... -- COMMAND [ARGUMENT...]      each FILE is one of a control group to write 0 to
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

static int written(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t length = strlen(text);

    return file >= 0 && write(file, text, length) == length && close(file) == 0;
}

int main(int argc, char **argv)
{
    const char *killed_first = "/proc/self/oom_score_adj";
    int at;

    if (argc < 2 || unshare(CLONE_NEWNS) || mount(argv[1], "/dev", NULL, MS_BIND, NULL))
        return refused(argv[1]);
    for (at = 2; at < argc && strcmp(argv[at], "--"); at++)
        if (!written(argv[at], "0"))
            return refused(argv[at]);
    if (!written(killed_first, "1000"))
        return refused(killed_first);
    if (at + 1 >= argc)
        return REFUSED;
    execvp(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return NOT_FOUND;
}
