/* The least that starting a sandbox can cost here: one clone(2) with all namespaces, the mounts
 * without which it would not be one, and one execution. Nothing is checked, limited, filtered,
 * masked or reported.
 *
 *   floor COUNT
 *
 * Starts /bin/true COUNT times and prints a line for each: microseconds of wall-clock, and of
 * processor time of this process and the one started. Ids: the caller's own is root inside.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int failed, const char *what) {
    if (failed) {
        perror(what);
        _exit(1);
    }
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    check(fd < 0 || write(fd, text, strlen(text)) < 0, path);
    close(fd);
}

static void child(uid_t uid, gid_t gid) {
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    char text[64], path[64];
    put("/proc/self/setgroups", "deny");
    snprintf(text, sizeof text, "0 %u 1", uid);
    put("/proc/self/uid_map", text);
    snprintf(text, sizeof text, "0 %u 1", gid);
    put("/proc/self/gid_map", text);
    check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    check(mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL), "bind /");
    check(mount("proc", "/tmp/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "proc");
    check(mount("tmpfs", "/tmp/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), "tmp");
    check(mount("tmpfs", "/tmp/dev", "tmpfs", MS_NOSUID, "mode=755"), "dev");
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        snprintf(path, sizeof path, "/tmp/dev/%s", devices[i]);
        close(open(path, O_CREAT | O_WRONLY, 0666));
        check(mount(path + 4, path, NULL, MS_BIND, NULL), path);
    }
    check(chdir("/tmp") || syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(umount2(".", MNT_DETACH) || chdir("/"), "umount");
    char *argv[] = {"/bin/true", NULL}, *envp[] = {"PATH=/bin", NULL};
    execve(argv[0], argv, envp);
    check(1, argv[0]);
}

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double used(void) {
    double sum = 0;
    int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (int i = 0; i < 2; i++) {
        struct rusage u;
        getrusage(whose[i], &u);
        sum += (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
    }
    return sum;
}

int main(int argc, char **argv) {
    unsigned long flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                          CLONE_NEWNET | CLONE_NEWCGROUP;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    for (int i = argc > 1 ? atoi(argv[1]) : 1; i > 0; i--) {
        double start = wall(), before = used();
        int status;
        long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0)
            child(uid, gid);
        check(pid < 0, "clone");
        check(waitpid(pid, &status, 0) < 0 || status, "child");
        double end = wall();
        printf("%.0f %.0f\n", end - start, used() - before);
    }
    return 0;
}
