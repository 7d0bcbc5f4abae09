"""Random valid requests and answers through the proxy, with h11 as the independent judge.

h11 speaks the caller's part to the proxy and the upstream's part behind it; what one end says must
be what the other end hears, but for the headers that docs/behaviour.md names.
"""

import asyncio
from dataclasses import dataclass

import h11
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.proxying import proxying
from tests.support.recorder import RecordedConnection, Recorder

Header = tuple[bytes, bytes]

# What goes through whole: not what hop-by-hop rules, framing or the proxy take or set.
RESERVED = {
    b"host", b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te",
    b"transfer-encoding", b"content-length", b"upgrade", b"http2-settings", b"authorization",
    b"proxy-authorization", b"x-smarttoken", b"forwarded", b"x-real-ip", b"x-srproxy-instance",
    b"via", b"date", b"expect", b"trailer", b"alt-svc", b"strict-transport-security", b"origin",
    b"cookie", b"location", b"content-location", b"link", b"x-api-key",
}  # fmt: skip
TOKEN = "!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
names = st.text(TOKEN, min_size=1, max_size=12).map(str.encode).filter(
    lambda name: name.lower() not in RESERVED
    and not name.lower().startswith((b"x-srproxy-", b"x-forwarded-", b"sec-fetch"))
)  # fmt: skip
values = st.binary(max_size=30).map(
    lambda raw: bytes(b for b in raw if b >= 0x20 and b != 0x7F).strip()
)
headers = st.lists(st.tuples(names, values), max_size=8)
pieces = st.lists(st.binary(min_size=1, max_size=300), max_size=5)
PATH = "abcxyz0189-._~!$&'()*+,;=:@/%"
targets = (
    st.tuples(st.text(PATH, max_size=30), st.none() | st.text(PATH + "?[]", max_size=20))
    .map(lambda both: "/x" + both[0] + ("" if both[1] is None else "?" + both[1]))
    .map(lambda text: text.replace("%", "%4a").replace("/.", "/x"))
    .map(str.encode)
)
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"REPORT"])


@dataclass(frozen=True)
class Message:
    """A body in pieces, framed by length, chunked (None: no body at all), and the headers."""

    headers: list[Header]
    body: list[bytes] | None
    chunked: bool
    trailers: list[Header]

    def framed(self) -> list[Header]:
        if self.body is None:
            return self.headers
        if self.chunked:
            return [*self.headers, (b"Transfer-Encoding", b"chunked")]
        return [*self.headers, (b"Content-Length", b"%d" % sum(map(len, self.body)))]


messages = st.builds(
    Message,
    headers,
    st.none() | pieces,
    st.booleans(),
    st.lists(st.tuples(st.just(b"x-t"), values)),
)
answers = st.builds(
    Message, headers, pieces, st.booleans(), st.lists(st.tuples(st.just(b"x-t"), values))
)
statuses = st.sampled_from([200, 201, 299, 400, 403, 404, 409, 429, 500, 503])


def say(speaker: h11.Connection, event: h11.Event, message: Message) -> list[bytes]:
    """Serialize a message, as the packets it is sent in."""
    packets = [speaker.send(event) or b""]
    if message.body is not None:
        packets += [speaker.send(h11.Data(data=piece)) or b"" for piece in message.body]
    trailers = message.trailers if message.chunked and message.body is not None else []
    packets.append(speaker.send(h11.EndOfMessage(headers=trailers)) or b"")
    return packets


async def hear(
    listener: h11.Connection, reader: asyncio.StreamReader
) -> tuple[h11.Request | h11.Response, bytes, list[Header]]:
    """Read one whole message, strictly."""
    head: h11.Request | h11.Response | None = None
    body = b""
    while True:
        event = listener.next_event()
        if event is h11.NEED_DATA:
            listener.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request | h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return head, body, list(event.headers)
        else:
            raise AssertionError(event)


def passed(heard: h11.Request | h11.Response) -> list[Header]:
    return [
        (name, value) for name, value in heard.headers.raw_items() if name.lower() not in RESERVED
    ]


async def exchange(
    method: bytes, target: bytes, request: Message, status: int, answer: Message
) -> None:
    upstream_heard: list[tuple[h11.Request | h11.Response, bytes, list[Header]]] = []

    async def script(connection: RecordedConnection) -> None:
        judge = h11.Connection(h11.SERVER)
        upstream_heard.append(await hear(judge, connection.reader))
        event = h11.Response(status_code=status, reason=b"R", headers=answer.framed())
        for packet in say(judge, event, answer):
            connection.send(packet)
            await connection.writer.drain()
        await connection.read()

    judge = h11.Connection(h11.CLIENT)
    event = h11.Request(
        method=method, target=target, headers=[(b"Host", b"localhost"), *request.framed()]
    )
    async with Recorder(script=script) as upstream, proxying(upstream) as proxy:
        async with proxy.caller() as caller:
            for packet in say(judge, event, request):
                await caller.send(packet)
            heard, body, trailers = await hear(judge, caller.reader)

    (sent, sent_body, sent_trailers) = upstream_heard[0]
    assert isinstance(sent, h11.Request)
    assert (sent.method, sent.target) == (method, target)
    assert passed(sent) == request.headers
    assert sent_body == b"".join(request.body or [])
    if request.chunked and request.body is not None:
        assert sent_trailers == request.trailers
    assert isinstance(heard, h11.Response)
    assert (heard.status_code, heard.reason) == (status, b"R")
    assert passed(heard) == answer.headers
    assert body == b"".join(answer.body or [])
    if answer.chunked:
        assert trailers == answer.trailers


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(methods, targets, messages, statuses, answers)
def test_what_one_end_says_the_other_end_hears(
    method: bytes, target: bytes, request: Message, status: int, answer: Message
) -> None:
    asyncio.run(exchange(method, target, request, status, answer))
