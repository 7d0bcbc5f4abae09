"""A private folder of small files, safe against other users and against kills.

Every operation opens the folder anew and works relative to it. Files are created with mode 0600,
written whole under a temporary name, synced, renamed, and the folder is synced. A symbolic link, a
pipe, a hard link, another user's file or one open to everybody is refused with a StoreError that
names the path and the remedy; no open ever waits. Blocking: for a thread.
"""

import errno
import logging
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.errors import StoreError

logger = logging.getLogger(__name__)

# Of `tokens.path`, which itself may be anybody's (a mount point).
SUBFOLDER = "grants"
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC
_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "raise the quota, or free some space",
    errno.EROFS: "mount it writable, or set tokens.path to a folder that is",
    errno.EACCES: "let the proxy's user own the folder, or set tokens.path to one of its own",
    errno.EPERM: "let the proxy's user own the folder, or set tokens.path to one of its own",
    errno.EIO: "check the disk",
    errno.ENOTDIR: "move away the file that stands in the folder's place",
}


def store_error(path: Path, error: OSError, doing: str) -> StoreError:
    """Put an OSError into words: the path, what failed, what to do."""
    what = f"{doing}: {error.strerror or error}"
    return StoreError(str(path), what, _REMEDIES.get(error.errno or 0, "correct it and try again"))


@contextmanager
def opened(folder: Path, *, create: bool = False) -> Iterator[int]:
    """Open our own folder, 0700; FileNotFoundError if there is none and none is to be made."""
    try:
        if create:
            _make(folder)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
    except FileNotFoundError:
        raise
    except OSError as error:
        if folder.is_symlink():
            raise StoreError(
                str(folder), "is a symbolic link", "put a folder of the proxy's own in its place"
            ) from None
        raise store_error(folder, error, "cannot be opened") from None
    try:
        _check_owner_and_mode(folder, fd, 0o700)
        yield fd
    finally:
        os.close(fd)


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_owner_and_mode(path: Path, fd: int, wanted: int) -> None:
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        raise _not_ours(path, status.st_uid)
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o007 and _ignores_modes(path if stat.S_ISDIR(status.st_mode) else path.parent):
        raise StoreError(
            str(path),
            f"is open to every user of this machine (mode {mode:04o}), and its file system ignores "
            "chmod",
            "set tokens.path to a folder on a file system that keeps modes, such as "
            "~/.local/state/smartrecruiters-proxy or /var/lib/smartrecruiters-proxy (under WSL: "
            "none below /mnt)",
        )
    if mode & 0o007:
        raise StoreError(
            str(path),
            f"is open to every user of this machine (mode {mode:04o})",
            f"chmod {wanted:04o} it, and log in again if anybody else may have read the tokens",
        )
    if mode & 0o070:
        # Kubernetes' fsGroup sets them on every mount, so it is no reason to stop.
        logger.warning("store_tightened path=%s mode=%04o to=%04o", path, mode, wanted)
        try:
            os.fchmod(fd, wanted)
        except OSError as error:
            logger.warning("store_not_tightened path=%s error=%s", path, error.strerror)


def _not_ours(path: Path, owner: int) -> StoreError:
    # Never "chown it": whoever types that as root takes the store from the service that uses it.
    name = user_name(owner)
    return StoreError(
        str(path),
        f"belongs to user {name}, and this runs as {user_name(os.geteuid())}",
        f"run it as {name} (sudo -u '{name}' srproxy …), or set tokens.path to a folder of its own",
    )


def user_name(uid: int) -> str:
    """Return a user's name, or its number as sudo takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _ignores_modes(folder: Path) -> bool:
    """Find out by a file of our own whether a file system keeps modes: drvfs and SMB do not."""
    name = folder / f".probe-{os.getpid()}"
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)
    except OSError:
        return False
    try:
        return bool(os.fstat(fd).st_mode & 0o077)
    finally:
        os.close(fd)
        with suppress(OSError):
            name.unlink()


def read(folder: Path, name: str, limit: int) -> bytes | None:
    """Read a file of ours; None if there is none."""
    path = folder / name
    try:
        with opened(folder) as directory:
            fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _OPEN, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        check_file(path, os.fstat(fd))
        _check_owner_and_mode(path, fd, 0o600)
        data = bytearray()
        while len(data) <= limit and (chunk := os.read(fd, limit + 1 - len(data))):
            data += chunk
    except OSError as error:
        raise store_error(path, error, "cannot be read") from None
    finally:
        os.close(fd)
    if len(data) > limit:
        raise StoreError(
            str(path), "is far too large for a record", "move it away and log in again"
        )
    return bytes(data)


def _unreadable(path: Path, error: OSError) -> StoreError:
    if error.errno == errno.ELOOP:
        return _not_a_file(path, "a symbolic link")
    return store_error(path, error, "cannot be read")


def check_file(path: Path, status: os.stat_result) -> None:
    """Refuse anything but a regular file without other hard links."""
    if not stat.S_ISREG(status.st_mode):
        raise _not_a_file(path, _kind(status.st_mode))
    if status.st_nlink > 1:
        raise _not_a_file(path, "a hard link to another file")


def _kind(mode: int) -> str:
    for is_kind, name in (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if is_kind(mode):
            return name
    return "a device"


def _not_a_file(path: Path, kind: str) -> StoreError:
    return StoreError(str(path), f"is {kind}, not a plain file", "look at it, then remove it")


def check_name(folder: Path, name: str) -> None:
    """Refuse a name that is taken by anything but a plain file of ours."""
    path = folder / name
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise store_error(path, error, "cannot be looked at") from None
    check_file(path, status)
    if status.st_uid != os.geteuid():
        raise _not_ours(path, status.st_uid)


def write(folder: Path, name: str, temporary: str, data: bytes) -> None:
    """Replace a file, durably: temporary name, sync, rename, sync of the folder.

    A temporary file that was written whole is left behind where a later step fails: it may be the
    only copy of what it holds, and `FileStore` takes it up.
    """
    path = folder / name
    try:
        with opened(folder, create=True) as directory:
            create(directory, folder, temporary, data)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
    except OSError as error:
        raise store_error(path, error, "cannot be written") from None


def create(directory: int, folder: Path, name: str, data: bytes) -> None:
    """Write a new file and sync it; what a killed writer left under the name is removed first."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN
    try:
        fd = os.open(name, flags, 0o600, dir_fd=directory)
    except FileExistsError:
        check_name(folder, name)
        os.unlink(name, dir_fd=directory)
        fd = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            with suppress(OSError):
                os.unlink(name, dir_fd=directory)
            raise
        os.fsync(fd)
    finally:
        os.close(fd)


def probe(folder: Path) -> None:
    """Prove that the folder takes a file, without leaving one."""
    try:
        with opened(folder, create=True) as directory:
            try:
                # A file without a name: nothing to clean up, whenever we are killed.
                fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=directory)
            except (OSError, AttributeError) as error:
                if getattr(error, "errno", None) in _REMEDIES:
                    raise
                name = f".probe-{os.getpid()}"
                create(directory, folder, name, b"x")
                os.unlink(name, dir_fd=directory)
                return
            try:
                os.write(fd, b"x")
                os.fsync(fd)
            finally:
                os.close(fd)
    except OSError as error:
        raise store_error(folder, error, "cannot be written") from None


def remove(folder: Path, name: str) -> None:
    """Remove what a killed writer left, if it left anything."""
    if not os.path.lexists(folder / name):
        return
    check_name(folder, name)
    with suppress(OSError), opened(folder) as directory:
        os.unlink(name, dir_fd=directory)


class Prepared:
    """A file that was created, filled and synced ahead, so that storing its content is one write.

    The space is taken (the disk cannot be full when it matters), and what `put` wrote is safe from
    a kill when it returns; `finish` makes it safe from a loss of power and gives it its name.
    """

    # Records have some 2.5 KB, encrypted some 3.5 KB; blanks behind them are legal JSON.
    SIZE = 8192

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._used = False
        path = folder / name
        try:
            with opened(folder, create=True) as directory:
                create(directory, folder, name, b" " * self.SIZE)
                self._fd = os.open(name, os.O_WRONLY | _OPEN, dir_fd=directory)
        except OSError as error:
            raise store_error(path, error, "cannot be written") from None

    def put(self, data: bytes) -> None:
        """Write the content into the page cache: some ten microseconds, so in any thread."""
        self._used = True
        path = self._folder / self._name
        try:
            written = os.pwrite(self._fd, data.ljust(self.SIZE), 0)
        except OSError as error:
            raise store_error(path, error, "cannot be written") from None
        if written < len(data):
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise store_error(path, full, "cannot be written")

    def finish(self, name: str, size: int) -> None:
        """Sync the content and put it in the place of the file `name`."""
        try:
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)
            with opened(self._folder) as directory:
                os.rename(self._name, name, src_dir_fd=directory, dst_dir_fd=directory)
                os.fsync(directory)
        except OSError as error:
            raise store_error(self._folder / name, error, "cannot be written") from None

    def close(self) -> None:
        """Close the file; one that was not used is removed."""
        os.close(self._fd)
        if not self._used:
            with suppress(OSError, StoreError), opened(self._folder) as directory:
                os.unlink(self._name, dir_fd=directory)
