/* A wall clock that jumps: preloaded into a server, it adds to the time what a file says, in seconds, as text.
 * The monotonic clock stays as it is, as it does when somebody sets the time of a machine. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    char text[32] = {0};
    const char *path = getenv("WALL_CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now) != 0;
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += offset();
    return failed ? -1 : 0;
}
