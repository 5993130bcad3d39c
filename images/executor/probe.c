/* Try the limits of a sandbox from inside, each once.
 *
 * usage: probe MEMORY_MB
 *        probe PROCESSES CPU_MILLISECONDS
 *
 * The first touches MEMORY_MB and says so: it should be killed before. Under gVisor, the whole sandbox is.
 * The second prints a line `name value` for each of these:
 * processes  how many there were, this one and PID 1 included, when the next was refused; at most PROCESSES are tried
 * interfaces network interfaces beside the loopback one; -1 where the kernel does not list them
 * root       the errno of making a file in /
 * apparmor   AppArmor's profiles that hold it, as the kernel tells them, or the reason why it tells none
 * user, capabilities, no_new_privileges, seccomp: as the kernel tells them
 * Last, two processes spin for CPU_MILLISECONDS: whoever started this measures the share that they get.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void touch(size_t megabytes)
{
    const size_t page = 4096;
    const useconds_t started = 200000; /* by then, the runtime has reported that the sandbox runs */
    size_t at, bytes = megabytes << 20;
    volatile char *all;

    usleep(started);
    all = malloc(bytes);
    for (at = 0; all && at < bytes; at += page)
        all[at] = 1;
    printf("%zu MB were %s\n", megabytes, all ? "taken" : "refused");
}

static int processes(int most)
{
    int made;
    pid_t child;

    for (made = 2; made < most; made++) {
        child = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        if (child < 0)
            break;
    }
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(NULL) > 0)
        ;
    return made;
}

static int interfaces(void)
{
    char line[256], name[64];
    FILE *file = fopen("/proc/net/dev", "r"); /* the sandbox has no netlink socket to ask */
    int found = 0;

    if (!file)
        return -1;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, " %63[^: ]:", name) == 1 && strchr(line, ':'))
            found += strcmp(name, "lo") != 0;
    fclose(file);
    return found;
}

static void apparmor(void)
{
    char label[256];
    FILE *file = fopen("/proc/self/attr/current", "r");

    printf("apparmor %s\n", file && fscanf(file, "%255[^\n]", label) == 1 ? label : strerror(errno));
    if (file)
        fclose(file);
}

static void capabilities(void)
{
    const char field[] = "CapEff:";
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");

    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field)))
            printf("capabilities %s", line + strlen(field) + 1);
    if (file)
        fclose(file);
}

static void spin(long milliseconds)
{
    struct timespec now, start;

    if (fork() < 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < milliseconds);
}

int main(int argc, char **argv)
{
    int file;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2) {
        touch(strtoul(argv[1], NULL, 10));
        return 0;
    }
    if (argc != 3)
        return 2;
    printf("processes %d\n", processes(atoi(argv[1])));
    printf("interfaces %d\n", interfaces());
    file = open("/probe", O_WRONLY | O_CREAT, 0600);
    printf("root %s\n", file >= 0 ? "writable" : strerror(errno));
    printf("user %d\n", (int)getuid());
    apparmor();
    capabilities();
    printf("no_new_privileges %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    printf("seccomp %d\n", prctl(PR_GET_SECCOMP));
    spin(atol(argv[2]));
    return 0;
}
