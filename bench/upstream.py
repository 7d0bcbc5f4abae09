"""The upstream: nginx with fixed answers, over plain HTTP and over TLS, on the load's core.

It answers 401 to whatever comes without the bearer, so that a proxy which forgets to add it
cannot be measured by mistake.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.certificates import Certificates
from bench.processes import Process, Processes, first_answer, free_port

TOKEN = "bench-3f1c9a7e5d2b4860a1c2e3f405162738"
BEARER = f"Bearer {TOKEN}"
LARGE = 100 * 2**20

CONFIGURATION = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 300;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:1m;
    ssl_buffer_size 16k;
    tcp_nopush on;
    sendfile on;
    open_file_cache max=100;
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{tls} ssl;
        server_name localhost;
        root {folder}/www;
        location = /alive {{ return 200 "alive"; }}
        location = /1k {{
            if ($http_authorization != "{bearer}") {{ return 401; }}
            return 200 "{small}";
        }}
        location = /unlike {{
            if ($http_authorization != "{bearer}") {{ return 401; }}
            add_header X-Request-Id $request_id;
            return 200 "{small}";
        }}
        location = /64k {{ if ($http_authorization != "{bearer}") {{ return 401; }} }}
        location = /1m {{ if ($http_authorization != "{bearer}") {{ return 401; }} }}
        location = /10m {{ if ($http_authorization != "{bearer}") {{ return 401; }} }}
        location = /large {{ if ($http_authorization != "{bearer}") {{ return 401; }} }}
        location /sink/ {{
            if ($http_authorization != "{bearer}") {{ return 401; }}
            dav_methods PUT;
            create_full_put_path on;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a proxy under test is to send its requests."""

    tls: bool
    port: int
    authority: Path

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"


@dataclass(frozen=True, slots=True)
class Upstream:
    process: Process
    plain: Origin
    tls: Origin
    upload: Path


def memory_folder(fallback: Path) -> Path:
    """A folder in memory where there is room, so that no disk is measured."""
    shared = Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).free > 4 * LARGE:
        return shared / f"bench-{os.getpid()}"
    return fallback / "upstream"


def start_upstream(
    processes: Processes, certificates: Certificates, folder: Path, core: int
) -> Upstream:
    """Write the files, start nginx, wait until it answers."""
    www = folder / "www"
    (www / "sink").mkdir(parents=True, exist_ok=True)
    (www / "64k").write_bytes((b'{"padding": "' + b"x" * 65536)[: 65536 - 2] + b'"}')
    (www / "1m").write_bytes(os.urandom(2**20))
    (www / "10m").write_bytes(os.urandom(10 * 2**20))
    with (www / "large").open("wb") as large:
        block = os.urandom(2**20)
        for _ in range(LARGE // len(block)):
            large.write(block)
    plain, tls = free_port(), free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            certificate=certificates.certificate.resolve(),
            key=certificates.key.resolve(),
            plain=plain,
            tls=tls,
            bearer=BEARER,
            small="x" * 1024,
        )
    )
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    process = processes.start("upstream", [nginx, "-p", folder, "-c", configuration], core=core)
    first_answer(process, plain, "/alive")
    return Upstream(
        process,
        plain=Origin(tls=False, port=plain, authority=certificates.authority.resolve()),
        tls=Origin(tls=True, port=tls, authority=certificates.authority.resolve()),
        upload=www / "large",
    )
