"""What a process has taken of processors, to the nanosecond: /proc/PID/stat counts in hundredths of a second."""

import time


def cpu_seconds(pid: int) -> float:
    """Of user and system, all threads, those that ended included. Raises OSError where there is no such process."""
    # What clock_getcpuclockid(3) makes of a process's ID, which Python does not offer: CPUCLOCK_SCHED of the whole process.
    return time.clock_gettime((~pid << 3) | 2)
