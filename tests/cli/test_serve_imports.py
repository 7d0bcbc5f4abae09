"""What a running `serve` loads, and when: every module is memory that each sidecar pays for."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

from tests.support.processes import PYTHONPATH, Process, free_port, running

SETTINGS = {
    "SRPROXY_OAUTH__CLIENT_ID": "the-client",
    "SRPROXY_OAUTH__CLIENT_SECRET": "client-secret-0123456789",
    "SRPROXY_UPSTREAM__URL": "http://127.0.0.1:9",
}
BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@contextmanager
def serving(home: Path) -> Iterator[tuple[Process, str]]:
    """Run a server that tells each import on stderr, as CPython does."""
    environ = SETTINGS | {
        "SRPROXY_LISTEN__PORT": str(free_port()), "PYTHONPROFILEIMPORTTIME": "1",
    }  # fmt: skip
    with running("serve", home=home, environ=environ) as process:
        process.wait_for_output("started listening=")
        yield process, f"http://localhost:{environ['SRPROXY_LISTEN__PORT']}"


def get(url: str, **headers: str) -> HTTPResponse:
    answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20)
    assert isinstance(answer, HTTPResponse)
    return answer


def loaded(process: Process) -> set[str]:
    """Return the packages that were imported so far."""
    lines = re.findall(r"^import time: .*\| *([\w.]+)$", process.stderr, re.MULTILINE)
    return {line.partition(".")[0] for line in lines}


def test_nothing_that_serve_does_loads_an_http_library(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url):
        for path in ("/-/live", "/-/status", "/-/postman.json"):
            get(url + path).read()
        before = loaded(process)
        scraped = get(f"{url}/-/metrics").read()
        page = get(f"{url}/-/", **BROWSER).read()
        with get(f"{url}/-/events") as stream:
            event = stream.readline() + stream.readline()
        after = loaded(process)

    assert b"srproxy_" in scraped
    assert b"<main" in page
    assert b"snapshot" in event
    assert {"json", "asyncio"} <= before
    assert not {"aiohttp", "yarl", "multidict", "jinja2", "prometheus_client"} & before
    assert {"jinja2", "prometheus_client"} <= after
    assert not {"aiohttp", "yarl", "multidict"} & after


def test_a_page_or_a_scrape_that_cannot_be_loaded_is_a_problem_and_calls_go_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['jinja2'] = sys.modules['prometheus_client'] = None\n"
    )
    environ = SETTINGS | {
        "SRPROXY_LISTEN__PORT": str(free_port()),
        "PYTHONPATH": f"{tmp_path}:{PYTHONPATH}",
    }
    url = f"http://localhost:{environ['SRPROXY_LISTEN__PORT']}"
    with running("serve", home=tmp_path, environ=environ) as process:
        process.wait_for_output("started listening=")
        told = []
        for path, headers in (("/-/", BROWSER), ("/-/metrics", {})):
            try:
                get(url + path, **headers)
            except urllib.error.HTTPError as error:
                told.append((error.code, json.loads(error.read())["code"]))
        live = get(f"{url}/-/live").status
        process.wait_for_output("import of prometheus_client halted")
        process.wait_for_output("import of jinja2 halted")

    assert told == [(500, "internal_error")] * 2
    assert live == 200
