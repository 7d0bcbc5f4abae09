"""Writing to stdout until all of it has arrived."""

import fcntl
import os
import select
import stat
import sys
import termios
import time

from proxy.cli.exits import CommandError

# Seconds that a pipe's reader may take: it may be asking a person for a password itself.
PATIENCE = 300.0
# A reader that goes away within this after the last byte, and before the end, has failed.
LINGERING = 0.5


def write_to_stdout(content: bytes) -> None:
    """Write to stdout, and wait until it is on the disk, or read from the pipe; else CommandError.

    A reader that closes the pipe before it was told its end has failed: `head`, or an ssh that was
    refused. Blocking.
    """
    descriptor = sys.stdout.fileno()
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISCHR(mode) and not os.isatty(descriptor):
        raise CommandError("stdout keeps nothing; name a file for the bundle")
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        if stat.S_ISREG(mode):
            os.fsync(descriptor)
        elif stat.S_ISFIFO(mode):
            _wait_until_read(descriptor)
    except BrokenPipeError:
        raise CommandError(
            "the reader of stdout ended before it had read the bundle; the grant is still here"
        ) from None
    except OSError as error:
        raise CommandError(
            f"stdout cannot be written: {error.strerror}; the grant is still here"
        ) from None


def _wait_until_read(pipe: int) -> None:
    poll = select.poll()
    poll.register(pipe, 0)  # an error is told in any case: nobody reads any more
    patience = time.monotonic() + PATIENCE
    lingering = None
    while lingering is None or time.monotonic() < lingering:
        if poll.poll(20):
            raise BrokenPipeError
        if lingering is None and not _left(pipe):
            lingering = time.monotonic() + LINGERING
        if time.monotonic() > patience:
            raise CommandError(
                f"nobody read the bundle from stdout within {PATIENCE:.0f} s; the grant is still "
                "here, so destroy what is read of the bundle later"
            )


def _left(pipe: int) -> int:
    """Return how many bytes wait in a pipe to be read."""
    answer = fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(answer, sys.byteorder)
