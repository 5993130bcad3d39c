/* Start an OCI runtime for one sandbox: held by the sandbox's control groups from its first moment, killed first when
 * the executor's own group is out of memory, and with the sandbox's own device files as /dev, since the runtime binds
 * those that it finds there into the sandbox. With SYSFS, a folder, the sandbox's network is made here, and its sysfs
 * mounted there, read-only from the start: crun makes it so afterwards, and where that of the container is read-only,
 * the kernel allows no other.
 *
 * The order of killing is inherited. runsc would set it once the sandbox runs, and fail when it has ended by then.
 *
 * usage: enter DEVICES SYSFS FILE... -- COMMAND [ARGUMENT...]   each FILE is one of a control group to write 0 to
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
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

static int with_network(const char *sysfs)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int any;

    return unshare(CLONE_NEWNET) == 0 && (any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0 &&
           ioctl(any, SIOCSIFFLAGS, &loopback) == 0 && close(any) == 0 &&
           mount("sysfs", sysfs, "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

int main(int argc, char **argv)
{
    const char *killed_first = "/proc/self/oom_score_adj";
    int at;

    if (argc < 3)
        return REFUSED;
    if (unshare(CLONE_NEWNS) || mount(argv[1], "/dev", NULL, MS_BIND, NULL))
        return refused(argv[1]);
    for (at = 3; at < argc && strcmp(argv[at], "--"); at++)
        if (!written(argv[at], "0"))
            return refused(argv[at]);
    if (!written(killed_first, "1000"))
        return refused(killed_first);
    if (*argv[2] && !with_network(argv[2]))
        return refused(argv[2]);
    if (at + 1 >= argc)
        return REFUSED;
    execvp(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return NOT_FOUND;
}
