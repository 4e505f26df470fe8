/* Clocks of a machine that stood still, for one process: LD_PRELOAD, and STANDSTILL names a file of three numbers (nanoseconds that
   CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_REALTIME did not see pass). Written and read by standstill.py. */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *unseen;

__attribute__((constructor)) static void find(void) {
    const char *path = getenv("STANDSTILL");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *place = mmap(0, 3 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (place != MAP_FAILED) unseen = place;
}

int clock_gettime(clockid_t which, struct timespec *time) {
    int status = (int)syscall(SYS_clock_gettime, which, time);
    if (status || !unseen) return status;
    int64_t missed = 0;
    switch (which) {
        case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_COARSE: case CLOCK_MONOTONIC_RAW: missed = unseen[0]; break;
        case CLOCK_BOOTTIME: missed = unseen[1]; break;
        case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: missed = unseen[2]; break;
    }
    int64_t present = time->tv_sec * 1000000000LL + time->tv_nsec - missed;
    time->tv_sec = present / 1000000000LL;
    time->tv_nsec = present % 1000000000LL;
    return 0;
}
