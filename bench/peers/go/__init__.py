"""Go's httputil.ReverseProxy: main.go in this folder, built with the Go that Debian brings."""

import os
import shutil
import subprocess
from pathlib import Path

from bench.machine import first_line
from bench.peers import Place, Unavailable
from bench.processes import Process
from bench.upstream import BEARER, Origin

SOURCE = Path(__file__).with_name("main.go")


class GoReverseProxy:
    name = "Go ReverseProxy"
    https = False

    def __init__(self) -> None:
        self.binary = Path()

    def install(self, work: Path) -> str:
        go = shutil.which("go")
        if go is None:
            raise Unavailable("no go: apt-get install golang")
        self.binary = work.resolve() / "go-reverseproxy"
        done = subprocess.run(
            [go, "build", "-o", str(self.binary), str(SOURCE)],
            env={**os.environ, "GO111MODULE": "off", "GOCACHE": str(work.resolve() / "go-cache")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"go build failed: {done.stderr.strip()[-300:]}")
        return first_line(go, "version").split()[2].removeprefix("go")

    def start(self, place: Place, origin: Origin, port: int) -> Process:
        command: list[str | Path] = [
            self.binary,
            f"127.0.0.1:{port}",
            origin.url,
            BEARER,
            origin.authority,
        ]
        return place.processes.start("go", command, core=place.core, env={"GOMAXPROCS": "1"})
