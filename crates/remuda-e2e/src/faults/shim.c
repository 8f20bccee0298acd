/* A disk that is slow, fails or lies: loaded before the C library, it answers fsync and fdatasync as
 * the file named by REMUDA_SHIM says.
 *
 *   slow N   each sync takes N milliseconds more
 *   eio      the next sync of a file below a folder named "log" fails, once
 *   lie      nothing is synced
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_log(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strstr(path, "/log/") != NULL;
}

static int answer(int fd, const char *name) {
    const char *file = getenv("REMUDA_SHIM");
    int control = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (control >= 0) {
        char text[32] = {0};
        ssize_t n = read(control, text, sizeof text - 1);
        close(control);
        unsigned long ms;
        if (n > 0 && sscanf(text, "slow %lu", &ms) == 1) {
            while (ms--) usleep(1000);
        } else if (n > 0 && strncmp(text, "lie", 3) == 0) {
            return 0;
        } else if (n > 0 && strncmp(text, "eio", 3) == 0 && is_log(fd) && unlink(file) == 0) {
            errno = EIO;
            return -1;
        }
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return answer(fd, "fsync"); }
int fdatasync(int fd) { return answer(fd, "fdatasync"); }
