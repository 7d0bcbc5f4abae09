"""mitmproxy in reverse mode, from PyPI, in a virtual environment of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.machine import first_line
from bench.peers import Place, Unavailable
from bench.processes import Process
from bench.pythons import make_environment
from bench.upstream import BEARER, Origin


class Mitmproxy:
    name = "mitmproxy"
    https = False

    def __init__(self) -> None:
        self._program = Path()

    def install(self, work: Path) -> str:
        folder = work.resolve() / "mitmproxy"
        self._program = folder / "bin" / "mitmdump"
        if not self._program.exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                make_environment(Path(sys.executable), folder, ["mitmproxy"])
            except subprocess.CalledProcessError as error:
                raise Unavailable(f"pip install mitmproxy failed: {error.stderr[-300:]}") from error
        return first_line(str(self._program), "--version").split()[-1]

    def start(self, place: Place, origin: Origin, port: int) -> Process:
        options = {
            "confdir": place.folder.resolve() / "mitmproxy",
            "ssl_verify_upstream_trusted_ca": origin.authority,
            "connection_strategy": "lazy",
            "stream_large_bodies": "1m",
            "flow_detail": 1,  # one line a request on standard output: its access log
            "termlog_verbosity": "warn",
        }
        settings = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
        return place.processes.start(
            self.name,
            [
                *(self._program, "--mode", f"reverse:{origin.url}"),
                *("--listen-host", "127.0.0.1", "--listen-port", str(port)),
                *("--modify-headers", f"/~q/Authorization/{BEARER}", *settings),
            ],
            core=place.core,
        )
