"""Our proxy as users run it: `serve` with a configuration file, a login done, all guards on."""

import http.client
import os
import shutil
import subprocess
import urllib.parse
import zlib
from pathlib import Path

from bench.peers import Place, Unavailable
from bench.processes import Process, StartFailed, first_answer, unverified
from bench.pythons import Interpreter, make_environment
from bench.upstream import Origin

ROOT = Path(__file__).resolve().parents[2]

CONFIGURATION = """\
listen:
  host: 127.0.0.1
  port: {port}
{tls}oauth:
  client_id: bench
  client_secret: bench-client-secret-0123456789
  redirect_uri: {scheme}://localhost:{port}/-/callback
  authorization_endpoint: {token_endpoint}
  token_endpoint: {token_endpoint}
upstream:
  url: {url}
  ca_file: {authority}
tokens:
  path: {folder}/tokens
access:
  allow: ["* **"]
{limits}log:
  format: json
"""
LIMITS = """\
limits:
  mode: pass
"""
TLS = """\
  tls:
    cert_file: {certificate}
    key_file: {key}
"""


class Ours:
    """This project on one interpreter."""

    def __init__(
        self,
        python: Path,
        token_endpoint: str,
        *,
        https: bool = False,
        tree: Path = ROOT,
        compiled: bool = False,
    ) -> None:
        self.https = https
        self.tree = tree.resolve()
        self._compiled = compiled
        self._interpreter = Interpreter.of(python)
        self._token_endpoint = token_endpoint
        self.python = python
        name = "smartrecruiters-proxy" if self.tree == ROOT else self.tree.name
        if compiled:
            name += " compiled"
        self.name = f"{name}, {self._interpreter.label}{', https' if https else ''}"

    def install(self, work: Path) -> str:
        """Use the interpreter as it is where it has what we need, else make an environment."""
        if self._interpreter.version < (3, 11):
            raise Unavailable("Python 3.11 or later is needed")
        if not self._interpreter.has("aiohttp", "uvloop", "prometheus_client", "yaml"):
            lock = (self.tree / "requirements.lock").read_bytes()
            folder = work.resolve() / f"ours-{self._interpreter.tag}-{zlib.crc32(lock):08x}"
            self.python = folder / "bin" / "python"
            if not self.python.exists():
                try:
                    locked = ["-r", str(self.tree / "requirements.lock")]
                    make_environment(self._interpreter.path, folder, locked)
                except subprocess.CalledProcessError as error:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise Unavailable(f"pip install failed: {error.stderr[-300:]}") from error
        if self._compiled:
            self.tree = self._unpacked_wheel(work.resolve())
        # As pip leaves it: with bytecode, even where this environment lets Python write none.
        bytecode: list[str | Path] = [self.python, "-m", "compileall", "-q", self.tree / "proxy"]
        subprocess.run(bytecode, timeout=120, check=True)
        version = subprocess.run(
            [self.python, "-c", "import proxy; print(proxy.__version__)"],
            cwd=self.tree,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if version.returncode:
            raise Unavailable(f"does not start: {version.stderr.strip()[-300:]}")
        return version.stdout.strip()

    def _unpacked_wheel(self, work: Path) -> Path:
        """Build the wheel with its compiled modules, once for the same sources, and unpack it."""
        files = sorted((self.tree / "proxy").rglob("*.py"))
        sources = b"".join(path.read_bytes() for path in files)
        unpacked = work / f"wheel-{self._interpreter.tag}-{zlib.crc32(sources):08x}"
        if not unpacked.is_dir():
            built = work / "wheel"
            shutil.rmtree(built, ignore_errors=True)
            try:
                subprocess.run(
                    [self._interpreter.path, "-m", "venv", built / "venv"], check=True, timeout=60
                )
                subprocess.run(
                    [built / "venv/bin/pip", "wheel", "-q", "--no-deps", "-w", built, self.tree],
                    env={**os.environ, "SRPROXY_PURE": "0"}, check=True, timeout=900,
                    capture_output=True, text=True,
                )  # fmt: skip
            except subprocess.CalledProcessError as error:
                raise Unavailable(f"cannot be compiled: {error.stderr[-300:]}") from error
            shutil.unpack_archive(next(built.glob("*.whl")), unpacked, "zip")
        return unpacked

    def start(self, place: Place, origin: Origin, port: int) -> Process:
        """Start on a token store that a login has filled."""
        if not (place.folder / "tokens").is_dir():
            process = self._serve(place, origin, port)
            try:
                first_answer(process, port, "/-/live", https=self.https)
                _log_in(port, https=self.https)
            finally:
                place.processes.stop(process)
        return self._serve(place, origin, port)

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """`srproxy` with these arguments, as its script calls it; to be run in `tree`."""
        script = "import sys; from proxy.cli import main; sys.exit(main())"
        return [self.python, "-c", script, *arguments]

    def configuration(self, place: Place) -> Path:
        """Where the configuration of a place is written by `start`."""
        return place.folder.resolve() / "config.yaml"

    def _serve(self, place: Place, origin: Origin, port: int) -> Process:
        file = self.configuration(place)
        certificates = place.certificates
        tls = TLS.format(
            certificate=certificates.certificate.resolve(), key=certificates.key.resolve()
        )
        has_limits = (self.tree / "proxy/gateway/limits").is_dir()  # version 0.1.0 had none
        file.write_text(
            CONFIGURATION.format(
                tls=tls if self.https else "",
                limits=LIMITS if has_limits else "",
                scheme="https" if self.https else "http",
                port=port,
                token_endpoint=self._token_endpoint,
                url=origin.url,
                authority=origin.authority,
                folder=place.folder.resolve(),
            )
        )
        command = self.command("serve", "-c", file)
        return place.processes.start("ours", command, core=place.core, cwd=self.tree)


def _log_in(port: int, *, https: bool) -> None:
    """The browser's part of a login: begin here, come back with a code, keep the cookie."""

    def get(target: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        connection = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=unverified())
            if https
            else http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        )
        connection.request("GET", target, headers={"Host": f"localhost:{port}", **headers})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    begun = get("/-/login", {})
    location = urllib.parse.urlsplit(begun.headers["Location"] or "")
    state = urllib.parse.parse_qs(location.query)["state"][0]
    cookies = [value.partition(";")[0] for value in begun.headers.get_all("Set-Cookie", [])]
    query = urllib.parse.urlencode({"code": "bench-code", "state": state})
    done = get(f"/-/callback?{query}", {"Cookie": "; ".join(cookies)})
    if done.status != 200:
        raise StartFailed(f"the login failed: {done.status}")
