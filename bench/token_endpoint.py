"""A token endpoint that gives every code the benchmark's token, for a day.

It exists so that our proxy's store is filled by a real login. Runs in a thread of the benchmark.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.upstream import TOKEN

ANSWER = json.dumps(
    {
        "access_token": TOKEN,
        "token_type": "bearer",
        "expires_in": 86400,
        "refresh_token": "bench-refresh-token",
    }
).encode()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay silent."""


@contextmanager
def token_endpoint() -> Iterator[str]:
    """The endpoint's URL, for as long as the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}/identity/oauth/token"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
