"""The file store's own: who may read, what is refused, and what a broken disk costs."""

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.errors import StoreError
from proxy.grant.stores.file import FileStore
from tests.grant.stores.conftest import make_record
from tests.support.clock import FakeClock
from tests.support.processes import ROOT

IS_ROOT = os.geteuid() == 0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    made = FileStore(tmp_path, FakeClock())
    await made.start()
    yield made
    await made.close()


async def save(store: FileStore, generation: int = 1) -> None:
    async with store.lease("default", 5) as lease:
        await lease.save(make_record(generation))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_folder_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = FileStore(tmp_path / "made" / "here", FakeClock())
        await store.start()
        await save(store)
        async with store.lease("default", 5) as lease:
            await lease.load()
            await lease.prepare()
            prepared = tmp_path / "made/here/grants/default.next"
            assert mode(prepared) == 0o600
            await lease.save(make_record(2))
            await lease.set_aside(make_record(2))
        await store.close()
    finally:
        os.umask(before)

    folder = tmp_path / "made/here/grants"
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 3  # record, lock, aside


async def test_nothing_is_left_beside_the_record(store: FileStore, tmp_path: Path) -> None:
    for generation in range(1, 5):
        async with store.lease("default", 5) as lease:
            await lease.load()
            await lease.prepare()
            await lease.save(make_record(generation))
    async with store.lease("default", 5) as lease:
        await lease.load()
        await lease.prepare()

    names = {path.name for path in (tmp_path / "grants").iterdir()}
    assert names == {"default.json", "default.lock"}


async def test_a_mount_point_of_anybodys_is_no_matter(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    store = FileStore(tmp_path, FakeClock())
    await store.start()
    await save(store)

    assert mode(tmp_path / "grants") == 0o700
    await store.close()


async def test_our_own_group_bits_are_tightened_with_a_warning(
    store: FileStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await save(store)
    (tmp_path / "grants").chmod(0o2770)
    (tmp_path / "grants/default.json").chmod(0o660)

    assert await store.load("default") is not None
    assert mode(tmp_path / "grants/default.json") == 0o600
    assert mode(tmp_path / "grants") & 0o777 == 0o700
    assert "store_tightened" in caplog.text


@pytest.mark.parametrize("name", ["grants", "grants/default.json"])
async def test_what_everybody_may_read_is_refused(
    store: FileStore, tmp_path: Path, name: str
) -> None:
    await save(store)
    (tmp_path / name).chmod(0o755)

    with pytest.raises(StoreError, match="chmod") as caught:
        await store.load("default")

    assert caught.value.where == str(tmp_path / name)


@pytest.mark.skipif(not IS_ROOT, reason="only root may give files away")
@pytest.mark.parametrize("name", ["grants", "grants/default.json"])
async def test_what_belongs_to_somebody_else_is_refused(
    store: FileStore, tmp_path: Path, name: str
) -> None:
    await save(store)
    os.chown(tmp_path / name, 12345, 12345)

    with pytest.raises(StoreError, match="12345") as caught:
        await store.load("default")

    assert caught.value.where == str(tmp_path / name)
    assert "sudo -u '#12345'" in caught.value.remedy
    assert "chown" not in caught.value.remedy


async def test_a_file_system_that_ignores_modes_is_named_with_another_folder(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As WSL's drvfs and SMB mounts are: everything is 0777, and chmod says that it succeeded."""
    await save(store)
    fstat = os.fstat

    def open_to_all(fd: int) -> os.stat_result:
        found = fstat(fd)
        return os.stat_result((found.st_mode | 0o777, *tuple(found)[1:]))

    monkeypatch.setattr(os, "fstat", open_to_all)
    with pytest.raises(StoreError, match="ignores chmod") as caught:
        await store.load("default")

    assert ".local/state/smartrecruiters-proxy" in caught.value.remedy
    assert "chmod" not in caught.value.remedy
    assert not list((tmp_path / "grants").glob(".probe*"))


def make_trick(kind: str, path: Path, victim: Path) -> None:
    if kind == "symlink":
        path.symlink_to(victim)
    elif kind == "dangling":
        path.symlink_to(victim.parent / "nothing")
    elif kind == "hard_link":
        os.link(victim, path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(path))


@pytest.mark.parametrize("name", ["default.json", "default.next", "default.lock", "default.part"])
@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard_link", "pipe", "folder", "socket"])
async def test_tricks_in_the_folder_are_refused_without_hanging(
    store: FileStore, tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "grants")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o600)
    make_trick(kind, Path(name), victim)

    async with asyncio.timeout(5):
        with pytest.raises(StoreError) as caught:
            await save(store)

    assert caught.value.where == str(tmp_path / "grants" / name)
    assert victim.read_text() == "precious"


async def test_a_folder_that_is_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "grants").symlink_to(tmp_path / "elsewhere")
    store = FileStore(tmp_path, FakeClock())

    with pytest.raises(StoreError, match="symbolic link"):
        await store.start()
    with pytest.raises(StoreError, match="symbolic link"):
        await store.load("default")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    await store.close()


async def test_the_lock_ends_with_a_killed_process(store: FileStore, tmp_path: Path) -> None:
    await save(store)
    script = (
        "import asyncio, sys; from pathlib import Path; from proxy.cli.clock import SystemClock; "
        "from proxy.grant.stores.file import FileStore\n"
        "async def main():\n"
        "    store = FileStore(Path(sys.argv[1]), SystemClock())\n"
        "    async with store.lease('default', 5):\n"
        "        print('held', flush=True); await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    waiting = asyncio.ensure_future(save(store, 2))
    await asyncio.sleep(0)
    assert not waiting.done()
    process.kill()
    await process.wait()
    async with asyncio.timeout(5):
        await waiting


# A refresh's writing as a program of its own, for faults that come from outside.
WRITING = (
    "import asyncio, sys; from pathlib import Path\n"
    "sys.path.insert(0, sys.argv[2])\n"
    "from proxy.errors import StoreError\n"
    "from proxy.cli.clock import SystemClock; from proxy.grant.stores.file import FileStore\n"
    "from tests.grant.stores.conftest import make_record\n"
    "async def main():\n"
    "    store = FileStore(Path(sys.argv[1]), SystemClock())\n"
    "    try:\n"
    "        async with store.lease('default', 5) as lease:\n"
    "            record = await lease.load(); await lease.prepare()\n"
    "            await lease.save(record); print('SPENT', flush=True)\n"
    "            await lease.save(make_record(record.generation + 1)); print('STORED')\n"
    "    except StoreError as error: print('STORE_ERROR', error)\n"
    "    await store.close()\n"
    "asyncio.run(main())"
)


def write_under(path: Path, *wrapper: str) -> str:
    command = [*wrapper, sys.executable, "-c", WRITING, str(path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "ptrace" in done.stderr and "SPENT" not in done.stdout:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:80]}")
    assert done.stdout, done.stderr
    return done.stdout


FAULTS = {
    "full": ("pwrite64,write", "ENOSPC", "free some space"),
    "quota": ("fsync", "EDQUOT", "quota"),
    "disk": ("fsync", "EIO", "check the disk"),
    "rename": ("rename,renameat,renameat2", "EIO", "check the disk"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_disk_that_fails_is_found_before_the_token_is_spent(
    store: FileStore, tmp_path: Path, fault: str
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    await save(store)
    calls, error, remedy = FAULTS[fault]
    folder = str(tmp_path / "grants")
    output = write_under(
        tmp_path, strace, "-f", "-qq", "-o", "/dev/null", "-P", folder,
        *[option for name in ("default.next", "default.part", "default.json")
          for option in ("-P", f"{folder}/{name}")],
        "-e", f"inject={calls}:error={error}",
    )  # fmt: skip

    assert "SPENT" not in output
    assert "STORE_ERROR" in output
    assert remedy in output
    record = await store.load("default")
    assert record is not None
    assert record.generation == 1


@pytest.mark.skipif(not IS_ROOT, reason="mounting needs root")
@pytest.mark.parametrize("options", ["size=64k", "ro"])
async def test_a_full_or_read_only_mount_costs_no_token(tmp_path: Path, options: str) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    first = "size=64k" if options == "ro" else options
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", first, "tmpfs", str(mount)], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        store = FileStore(mount, FakeClock())
        await store.start()
        await save(store)
        await store.close()
        if options == "ro":
            subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        else:
            with (mount / "filler").open("wb", buffering=0) as filler:
                try:
                    while filler.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
        output = write_under(mount)
    finally:
        subprocess.run(["umount", str(mount)], check=True)

    assert "STORE_ERROR" in output
    assert "SPENT" not in output
    assert "mount it writable" in output or "free some space" in output
