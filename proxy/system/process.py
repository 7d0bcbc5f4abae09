"""Settings of the whole process: no core dump, private files, a tuned allocator and collector.

Linux offers each of these; elsewhere a step that is missing is left out.
"""

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PR_SET_DUMPABLE = 4  # linux/prctl.h
M_TRIM_THRESHOLD = -1  # malloc.h
M_MMAP_THRESHOLD = -3  # malloc.h
M_ARENA_MAX = -8  # malloc.h
# Bodies move in pieces of up to 256 KiB: with the stock thresholds glibc maps and unmaps memory
# for each of them. Measured at 64 KiB answers: 22 to 58 % more requests a second.
ALLOCATOR_THRESHOLD = 4 * 1024 * 1024
# Listeners, log, store, resolver, connections turned away: what is open besides the connections.
SPARE_DESCRIPTORS = 200


def open_standard_streams() -> None:
    """Open the null device in place of a closed standard stream (`2>&-`).

    Otherwise the next file or socket would get its number, and be written to as stderr.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def harden() -> None:
    """Keep secrets out of core dumps and other users' debuggers, and new files private."""
    os.umask(0o077)
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes  # not for commands that hold no secret

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def tune() -> None:
    """Trade a little memory for fewer system calls and rarer garbage collections."""
    if sys.platform == "linux":
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, ALLOCATOR_THRESHOLD)
            mallopt(M_TRIM_THRESHOLD, ALLOCATOR_THRESHOLD)
            # Our few threads wait more than they allocate: an arena for each is memory lost.
            mallopt(M_ARENA_MAX, 1)
    # What is built at start lives as long as the process: the collector need not walk it again. The
    # rest is little, so all of it can be collected often: a connection that has ended is a cycle,
    # and holds its buffers until then. Not collected first, which takes 50 ms before the first
    # answer and finds a few hundred objects.
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def allow_descriptors(connections: int) -> str | None:
    """Raise the soft limit on descriptors for so many connections; a warning where it stays below.

    The usual soft limit, 1024, is meant for select(2), which nothing here uses.
    """
    if sys.platform == "win32":
        return None
    import resource

    wanted = connections + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    except (OSError, ValueError):
        possible = soft
    if possible >= wanted:
        return None
    return (
        f"may open {possible} descriptors, too few for listen.max_connections and "
        f"upstream.max_connections ({wanted} with what else is open): lower them, or raise the "
        "limit (ulimit -n, LimitNOFILE=)"
    )


@contextmanager
def collector_paused() -> Iterator[None]:
    """Disable the collector while importing: import-time objects are permanent.

    Saves a quarter of the start. They are frozen, so that the collector never walks them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()


def environment_warnings(environ: Mapping[str, str]) -> list[str]:
    """Return what in the environment endangers secrets or speed; the caller logs it."""
    warnings = []
    if environ.get("SSLKEYLOGFILE"):
        warnings.append(
            "SSLKEYLOGFILE is set: whoever reads that file can decrypt the traffic; unset it"
        )
    if environ.get("PYTHONASYNCIODEBUG"):
        warnings.append("PYTHONASYNCIODEBUG is set: the proxy runs slowly; unset it")
    return warnings
