"""Node's http-proxy and a proxy on undici, from npm: the scripts in this folder."""

import shutil
import subprocess
from pathlib import Path

from bench.machine import first_line
from bench.peers import Place, Unavailable
from bench.processes import Process
from bench.upstream import BEARER, Origin

SOURCES = Path(__file__).parent


class NodePeer:
    """One of the scripts, run from a folder into which npm has installed what they need."""

    https = False

    def __init__(self, name: str, script: str, package: str) -> None:
        self.name = name
        self._script = script
        self._package = package
        self._folder = Path()

    def install(self, work: Path) -> str:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise Unavailable("no node or npm: apt-get install nodejs npm")
        self._folder = work.resolve() / "node"
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in (*SOURCES.glob("*.js"), SOURCES / "package.json"):
            shutil.copy(file, self._folder)
        if not (self._folder / "node_modules" / self._package).is_dir():
            done = subprocess.run(
                [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=self._folder,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode:
                raise Unavailable(f"npm install failed: {done.stderr.strip()[-300:]}")
        version = first_line(
            node,
            "-p",
            f"require('{self._folder}/node_modules/{self._package}/package.json').version",
        )
        return f"{version} on Node {first_line(node, '--version').removeprefix('v')}"

    def start(self, place: Place, origin: Origin, port: int) -> Process:
        return place.processes.start(
            self._script.removesuffix(".js"),
            [
                *("node", self._folder / self._script, str(port), origin.url, BEARER),
                *(origin.authority, place.folder.resolve() / "access.log"),
            ],
            core=place.core,
            env={"NODE_ENV": "production"},
        )


def node_peers() -> list[NodePeer]:
    return [
        NodePeer("Node http-proxy", "http_proxy.js", "http-proxy"),
        NodePeer("Node undici", "undici.js", "undici"),
    ]
