"""Callers that nobody here wrote: curl, requests, urllib, Node's fetch, newman, Java: as used."""

import hashlib
import http.client
import io
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.conftest import Person, Proxy
from tests.support.programs import program

NEWMAN = Path(__file__).parent / "newman"
MEGABYTE = bytes(range(256)) * 4096


@pytest.fixture(autouse=True)
def _authorized(person: Person) -> None:
    person.log_in()


@pytest.fixture
def candidate(proxy: Proxy) -> str:
    first = requests.get(f"{proxy.url}/candidates", timeout=20).json()["content"][0]
    return f"{proxy.url}/candidates/{first['id']}"


def curl(*arguments: str, check: bool = True) -> str:
    command = [program("curl"), "--silent", "--show-error", "--max-time", "20", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=check, timeout=30)
    return done.stdout


# ── curl ──


@pytest.mark.parametrize(
    "option", ["--http1.1", "--http1.0", "--ipv4", "--ipv6", "--compressed", "--tcp-fastopen"]
)
def test_curl_gets(proxy: Proxy, option: str) -> None:
    assert json.loads(curl(option, f"{proxy.url}/users/me"))["lastName"] == "Lindqvist"


def test_curl_asks_for_the_head_alone(proxy: Proxy) -> None:
    head = curl("--head", f"{proxy.url}/users/me")

    assert head.startswith("HTTP/1.1 200")
    assert "x-ratelimit-limit: 10" in head.lower()


def test_curl_posts_json(proxy: Proxy) -> None:
    body = '{"firstName": "Ada", "lastName": "Å", "email": "ada@mail.example"}'
    answer = curl("--json", body, "--write-out", "\n%{http_code}", f"{proxy.url}/candidates")
    created, status = answer.rsplit("\n", 1)

    assert (json.loads(created)["lastName"], status) == ("Å", "201")


def test_curl_uploads_a_form_and_downloads_the_file(
    proxy: Proxy, candidate: str, tmp_path: Path
) -> None:
    source, target = tmp_path / "cv.pdf", tmp_path / "back.pdf"
    source.write_bytes(MEGABYTE * 3)
    heads = tmp_path / "heads.txt"
    # curl waits a second for a 100 that never comes, then sends all the same: look for the 100.
    uploaded = curl(
        *("--form", "attachmentType=RESUME", "--form", f"file=@{source};type=application/pdf"),
        *("--header", "Expect: 100-continue", "--dump-header", str(heads)),
        f"{candidate}/attachments",
    )
    path = urlsplit(json.loads(uploaded)["actions"]["download"]["url"]).path
    curl("--output", str(target), proxy.url + path)

    assert target.read_bytes() == source.read_bytes()
    assert heads.read_text().startswith("HTTP/1.1 100 ")


def test_curl_sends_a_body_of_unknown_length(proxy: Proxy, candidate: str) -> None:
    answer = curl(
        *("--header", "Transfer-Encoding: chunked", "--request", "PATCH"),
        *("--json", '{"tags": ["chunked"]}', candidate),
    )

    assert json.loads(answer)["tags"] == ["chunked"]


def test_curl_reuses_its_connection(proxy: Proxy) -> None:
    url = f"{proxy.url}/users/me"
    answer = curl(
        *("--write-out", "%{num_connects}\n", "--output", "/dev/null", url),
        *("--output", "/dev/null", url, "--output", "/dev/null", url),
    )

    assert answer.split() == ["1", "0", "0"]


def test_curl_takes_us_for_a_forward_proxy(proxy: Proxy) -> None:
    answer = curl("--proxy", proxy.url, f"{proxy.url}/users/me")

    assert json.loads(answer)["lastName"] == "Lindqvist"


def test_curl_with_credentials_of_its_own_is_served_with_ours(proxy: Proxy) -> None:
    headers = ("Authorization: Bearer stale", "X-SmartToken: 0123456789abcdef0123456789abcdef")
    options = [option for header in headers for option in ("--header", header)]
    answer = curl(*options, f"{proxy.url}/users/me")

    assert json.loads(answer)["lastName"] == "Lindqvist"


def test_curl_prints_our_problem_where_it_is_ours(proxy: Proxy) -> None:
    answer = curl("--path-as-is", "--include", f"{proxy.url}/candidates/../users/me")

    assert answer.startswith("HTTP/1.1 400")
    assert "Proxy-Status: smartrecruiters-proxy" in answer
    assert '"bad_request"' in answer


def test_curl_over_a_unix_socket(proxy: Proxy, person: Person, tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    proxy.config["listen"]["unix_socket"] = str(path)
    proxy.restart()
    answer = curl("--unix-socket", str(path), "http://localhost/users/me")

    assert json.loads(answer)["lastName"] == "Lindqvist"


# ── requests ──


def test_requests_session_makes_many_calls_on_one_connection(proxy: Proxy) -> None:
    with requests.Session() as session:
        statuses, ports = set(), set()
        for _ in range(20):
            with session.get(f"{proxy.url}/users/me", stream=True, timeout=20) as answer:
                ports.add(answer.raw.connection.sock.getsockname()[1])
                statuses.add(answer.status_code)
                answer.content  # noqa: B018  (read to its end, the connection is free again)

    assert statuses == {200}
    assert len(ports) == 1


def test_requests_streams_a_generator_up_and_chunks_down(proxy: Proxy, candidate: str) -> None:
    prepared = requests.Request(
        "POST",
        f"{candidate}/attachments",
        data={"attachmentType": "OTHER"},
        files={"file": ("stream.bin", MEGABYTE * 2, "application/octet-stream")},
    ).prepare()
    body = prepared.body
    assert isinstance(body, bytes)

    def pieces() -> Iterator[bytes]:
        stream = io.BytesIO(body)
        while piece := stream.read(50_000):
            yield piece

    uploaded = requests.post(
        f"{candidate}/attachments",
        data=pieces(),
        headers={"Content-Type": prepared.headers["Content-Type"]},
        timeout=20,
    )
    assert uploaded.status_code == 201
    path = urlsplit(uploaded.json()["actions"]["download"]["url"]).path
    with requests.get(proxy.url + path, stream=True, timeout=20) as answer:
        digest = hashlib.sha256()
        for chunk in answer.iter_content(10_000):
            digest.update(chunk)

    assert digest.digest() == hashlib.sha256(MEGABYTE * 2).digest()


def test_requests_query_reaches_the_upstream_as_it_was_sent(proxy: Proxy) -> None:
    first = requests.get(f"{proxy.url}/candidates", params={"limit": 5}, timeout=20).json()
    page_id = first["nextPageId"]
    second = requests.get(
        f"{proxy.url}/candidates", params={"limit": 5, "pageId": page_id}, timeout=20
    )

    assert second.status_code == 200
    assert second.json()["content"][0]["id"] not in {c["id"] for c in first["content"]}


# ── the standard library, and Node ──


def test_urllib_gets(proxy: Proxy) -> None:
    with urllib.request.urlopen(f"{proxy.url}/users/me", timeout=20) as answer:
        assert json.load(answer)["lastName"] == "Lindqvist"


def test_http_client_keeps_its_connection(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection("localhost", int(proxy.url.rpartition(":")[2]))
    for _ in range(3):
        connection.request("GET", "/users/me")
        answer = connection.getresponse()
        assert json.load(answer)["lastName"] == "Lindqvist"
    connection.close()


NODE = """
const base = process.argv[1];
const me = await (await fetch(`${base}/users/me`)).json();
const form = new FormData();
form.append("attachmentType", "RESUME");
form.append("file", new Blob([new Uint8Array(300000).fill(7)]), "cv.bin");
const list = await (await fetch(`${base}/candidates`)).json();
const path = `/candidates/${list.content[0].id}/attachments`;
const up = await fetch(base + path, { method: "POST", body: form });
const file = await up.json();
const back = await fetch(`${base}/candidates/attachments/${file.id}`);
const bytes = new Uint8Array(await back.arrayBuffer());
console.log(JSON.stringify([me.lastName, up.status, bytes.length, bytes.every((b) => b === 7)]));
"""


def test_node_fetches(proxy: Proxy) -> None:
    command = [program("node"), "--input-type=module", "--eval", NODE, proxy.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert json.loads(done.stdout) == ["Lindqvist", 201, 300000, True]


# ── newman, which runs collections as Postman does ──


@pytest.fixture(scope="module")
def newman(pytestconfig: pytest.Config) -> Path:
    """Install it once; its version is in its package.json."""
    npm = program("npm")
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("newman")
    shutil.copy(NEWMAN / "package.json", folder)
    script = folder / "node_modules" / "newman" / "bin" / "newman.js"
    if not script.is_file():
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--silent"],
            cwd=folder, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"could not fetch newman: {done.stderr.strip()[:200]}")
    return script


def test_newman_runs_a_collection_with_our_environment(
    proxy: Proxy, newman: Path, tmp_path: Path
) -> None:
    environment, report = tmp_path / "environment.json", tmp_path / "report.json"
    environment.write_bytes(requests.get(f"{proxy.url}/-/postman.json", timeout=20).content)
    (tmp_path / "cv.pdf").write_bytes(MEGABYTE[:300_000])
    command = [
        *(program("node"), str(newman), "run", str(NEWMAN / "collection.json")),
        *("--environment", str(environment), "--working-dir", str(tmp_path)),
        *("--reporters", "cli,json", "--reporter-json-export", str(report), "--bail"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout
    run = json.loads(report.read_text())["run"]
    assert run["failures"] == []
    assert run["stats"]["assertions"]["total"] == 6


def test_newman_runs_our_collection(proxy: Proxy, newman: Path, tmp_path: Path) -> None:
    collection, report = tmp_path / "collection.json", tmp_path / "report.json"
    answer = requests.get(f"{proxy.url}/-/postman-collection.json", timeout=20)
    collection.write_bytes(answer.content)
    command = [
        *(program("node"), str(newman), "run", str(collection), "--folder", "Jobs"),
        *("--reporters", "json", "--reporter-json-export", str(report)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout
    run = json.loads(report.read_text())["run"]
    assert run["failures"] == []
    assert run["stats"]["requests"] == {"total": 29, "pending": 0, "failed": 0}
    statuses = {one["item"]["name"]: one["response"]["code"] for one in run["executions"]}
    assert statuses["GET /jobs"] == 200


# ── Java, whose client offers h2c with its first request ──

JAVA = """
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

class Caller {
    public static void main(String[] arguments) throws Exception {
        var base = arguments[0];
        var client = HttpClient.newHttpClient();
        var get = HttpRequest.newBuilder(URI.create(base + "/users/me")).build();
        for (int i = 0; i < 3; i++) {
            var me = client.send(get, BodyHandlers.ofString());
            System.out.println(me.statusCode() + " " + me.body().contains("Lindqvist"));
        }
        var body = "{\\"firstName\\":\\"J\\","
            + "\\"lastName\\":\\"D\\",\\"email\\":\\"j@mail.example\\"}";
        var post = HttpRequest.newBuilder(URI.create(base + "/candidates"))
            .header("Content-Type", "application/json");
        var known = post.POST(BodyPublishers.ofString(body)).build();
        System.out.println(client.send(known, BodyHandlers.ofString()).statusCode());
        var unknown = post.POST(
            BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body.getBytes()))).build();
        System.out.println(client.send(unknown, BodyHandlers.ofString()).statusCode());
    }
}
"""


def test_java_sends(proxy: Proxy, tmp_path: Path) -> None:
    source = tmp_path / "Caller.java"
    source.write_text(JAVA)
    command = [program("java"), str(source), proxy.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.split("\n") == ["200 true", "200 true", "200 true", "201", "201", ""], (
        done.stderr
    )
