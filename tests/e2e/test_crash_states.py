"""Every state that a crash in the middle of a refresh can leave on disk, and a start on each.

The file operations of one refresh are recorded as they happen, and the folder is copied after each
of them, writes also halfway: every prefix of the sequence, as a folder.
"""

import asyncio
import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import Problem
from proxy.grant.manager import TokenManager
from proxy.grant.stores.file import FileStore
from proxy.system.secret import Secret
from tests.support.authorization_server import AuthorizationServer
from tests.support.granting import World, finish, world

WATCHED = ("open", "write", "pwrite", "ftruncate", "fsync", "rename", "unlink")


@dataclass(frozen=True)
class State:
    """The folder after one operation, and the server as it was then."""

    after: str
    files: dict[str, bytes]
    server: dict[str, Any]
    rotated: bool


class Recorder:
    """Copies the folder after every operation on it."""

    def __init__(self, folder: Path, server: AuthorizationServer) -> None:
        self.folder = folder
        self.server = server
        self.states: list[State] = []
        self.rotations = len(server.committed)

    def note(self, after: str) -> None:
        files = {
            path.name: path.read_bytes() for path in self.folder.iterdir() if path.suffix != ".lock"
        }
        server = copy.deepcopy(
            {name: getattr(self.server, name) for name in ("_grants", "_owner", "_codes")}
        )
        self.states.append(State(after, files, server, len(self.server.committed) > self.rotations))

    def watch(self, name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if name == "write":
                done = original(args[0], args[1][: max(1, len(args[1]) // 2)])
                self.note("half of a write")
                return done
            if name == "pwrite":
                original(args[0], args[1][: len(args[1].rstrip()) // 2], args[2])
                self.note("half of a pwrite")
            done = original(*args, **kwargs)
            self.note(name)
            return done

        return watched


async def record(grant: World, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[State]:
    """Log in, let the access token end, and record one refresh."""
    manager = await grant.authorized()
    await grant.clock.advance(1800)
    recorder = Recorder(path / "grants", grant.server)
    recorder.note("nothing")
    with monkeypatch.context() as patch:
        for name in WATCHED:
            patch.setattr(os, name, recorder.watch(name))
        await manager.credential()
    await grant.close()
    return recorder.states


def holds_new_pair(state: State) -> bool:
    current = next(iter(state.server["_grants"])).refresh_token.encode()
    complete = (content for content in state.files.values() if content.rstrip().endswith(b"}"))
    return any(current in content for content in complete)


async def ask(manager: TokenManager) -> Problem | None:
    try:
        await manager.credential()
    except Problem as problem:
        return problem
    return None


async def test_a_start_on_every_crash_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recorded"
    async with world() as grant:
        grant.store = FileStore(path, grant.clock)
        states = await record(grant, path, monkeypatch)
        before = len(grant.server.log)
        served = lost = 0
        for number, state in enumerate(states):
            folder = tmp_path / str(number) / "grants"
            folder.mkdir(mode=0o700, parents=True)
            for name, content in state.files.items():
                (folder / name).touch(0o600)
                (folder / name).write_bytes(content)
            for name, value in copy.deepcopy(state.server).items():
                setattr(grant.server, name, value)
            store = FileStore(folder.parent, grant.clock)
            manager = await grant.open(store)
            problem = await ask(manager)
            if problem is None:
                served += 1
                assert not state.rotated or holds_new_pair(state), state.after
            else:
                lost += 1
                assert (problem.code, problem.reason) == ("login_required", "grant_revoked")
                assert "rotation was lost" in problem.detail
                assert state.rotated, state.after
                assert not holds_new_pair(state), state.after
            await finish(manager)
            presented = grant.server.log[before:]
            assert len(presented) <= 1, state.after
            before = len(grant.server.log)
            record_now = await store.load("default")
            assert record_now is not None
            assert not list(folder.glob("*.next"))
            await grant.close()
            await store.close()

    with capsys.disabled():
        print(f"\n{len(states)} crash states: {served} served, {lost} lost the rotation")
    assert len(states) > 15
    assert lost <= 3


async def test_a_crash_in_the_first_login_leaves_a_grant_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recorded"
    async with world() as grant:
        grant.store = FileStore(path, grant.clock)
        manager = await grant.open()
        recorder = Recorder(path / "grants", grant.server)
        with monkeypatch.context() as patch:
            for name in WATCHED:
                patch.setattr(os, name, recorder.watch(name))
            await asyncio.wait_for(manager.exchange(Secret(grant.server.issue_code())), 20)
        await grant.close()
        reasons = set()
        for number, state in enumerate(recorder.states):
            folder = tmp_path / str(number) / "grants"
            folder.mkdir(mode=0o700, parents=True)
            for name, content in state.files.items():
                (folder / name).touch(0o600)
                (folder / name).write_bytes(content)
            store = FileStore(folder.parent, grant.clock)
            again = await grant.open(store)
            assert again.status().store_error is None, state.after
            reasons.add(again.status().reason)
            await grant.close()
            await store.close()

    assert reasons == {None, "never_authorized"}
