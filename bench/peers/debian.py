"""nginx, HAProxy and Caddy, from Debian: one worker, keep-alive to the upstream, TLS verified."""

import os
import shutil
from pathlib import Path

from bench.machine import first_line
from bench.peers import Place, Unavailable
from bench.processes import Process
from bench.upstream import BEARER, Origin

NGINX = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log combined;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    upstream origin {{
        server 127.0.0.1:{origin_port};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 300;
    }}
    server {{
        listen 127.0.0.1:{port}{ssl};
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass {scheme}://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host "localhost:{origin_port}";
            proxy_set_header Authorization "{bearer}";
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {authority};
            proxy_ssl_server_name on;
            proxy_ssl_name localhost;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
        }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 4000
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    option http-keep-alive
    http-reuse always
    timeout connect 10s
    timeout client 75s
    timeout server 130s
frontend callers
    bind 127.0.0.1:{port}
    default_backend origin
backend origin
    http-request set-header Host localhost:{origin_port}
    http-request set-header Authorization "{bearer}"
    server origin 127.0.0.1:{origin_port} {tls} pool-max-conn 128
"""
HAPROXY_TLS = "ssl verify required ca-file {authority} sni str(localhost) verifyhost localhost"

CADDY = """\
{{
    admin off
    auto_https off
    servers {{
        protocols h1
    }}
}}
http://:{port} {{
    bind 127.0.0.1
    log {{
        output file {folder}/access.log
    }}
    reverse_proxy {url} {{
        header_up Host localhost:{origin_port}
        header_up Authorization "{bearer}"
        transport http {{
            versions 1.1
            compression off
            keepalive_idle_conns 128
            keepalive_idle_conns_per_host 128
            {tls}
        }}
    }}
}}
"""


def _values(place: Place, origin: Origin, port: int) -> dict[str, object]:
    return {
        "user": "user root;" if os.geteuid() == 0 else "",
        "folder": place.folder.resolve(),
        "port": port,
        "origin_port": origin.port,
        "scheme": "https" if origin.tls else "http",
        "url": origin.url,
        "bearer": BEARER,
        "authority": origin.authority,
        "certificate": place.certificates.certificate.resolve(),
        "key": place.certificates.key.resolve(),
    }


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable(f"no {name}: apt-get install {name}")
    return found


class Nginx:
    def __init__(self, *, https: bool = False) -> None:
        self.https = https
        self.name = "nginx, https" if https else "nginx"

    def install(self, work: Path) -> str:  # noqa: ARG002 - comes with Debian
        return first_line(_program("nginx"), "-v").rpartition("/")[2]

    def start(self, place: Place, origin: Origin, port: int) -> Process:
        file = place.folder / "nginx.conf"
        values = _values(place, origin, port) | {"ssl": " ssl" if self.https else ""}
        file.write_text(NGINX.format(**values))
        command: list[str | Path] = [_program("nginx"), "-p", place.folder, "-c", file.resolve()]
        return place.processes.start(self.name, command, core=place.core)


class HAProxy:
    name = "HAProxy"
    https = False

    def install(self, work: Path) -> str:  # noqa: ARG002 - comes with Debian
        return first_line(_program("haproxy"), "-v").split()[2].partition("-")[0]

    def start(self, place: Place, origin: Origin, port: int) -> Process:
        values = _values(place, origin, port)
        values["tls"] = HAPROXY_TLS.format(**values) if origin.tls else ""
        file = place.folder / "haproxy.cfg"
        file.write_text(HAPROXY.format(**values))
        command: list[str | Path] = [_program("haproxy"), "-db", "-f", file]
        return place.processes.start(self.name, command, core=place.core)


class Caddy:
    name = "Caddy"
    https = False

    def install(self, work: Path) -> str:  # noqa: ARG002 - comes with Debian
        return first_line(_program("caddy"), "version").split()[0].removeprefix("v")

    def start(self, place: Place, origin: Origin, port: int) -> Process:
        values = _values(place, origin, port)
        values["tls"] = (
            "tls_server_name localhost\n            tls_trusted_ca_certs {authority}".format(
                **values
            )
            if origin.tls
            else ""
        )
        file = place.folder / "Caddyfile"
        file.write_text(CADDY.format(**values))
        home = str(place.folder.resolve())
        return place.processes.start(
            self.name,
            [_program("caddy"), "run", "--adapter", "caddyfile", "--config", file],
            core=place.core,
            env={"GOMAXPROCS": "1", "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home, "HOME": home},
        )
