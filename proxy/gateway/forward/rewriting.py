"""Links in bodies of answers (rule 4 of answers): which are rewritten, and their heads."""

import re
from collections.abc import Callable

from proxy.config import UpstreamConfig
from proxy.gateway.forward.seams import Transform, TransformFor
from proxy.gateway.http1 import RequestHead, ResponseHead
from proxy.smartrecruiters.links import LinkRewriter, LinkTarget, is_rewritten, weak

ETAG = re.compile(rb"(etag:[ \t]*)(.*)", re.IGNORECASE | re.DOTALL)
BODILESS = (204, 304)


class RewrittenBody:
    """One answer whose links lead to the origin that the caller used."""

    def __init__(self, rewriter: LinkRewriter) -> None:
        self.data = rewriter.data
        self.end = rewriter.end

    def head(self, lines: list[bytes]) -> list[bytes]:
        """Weaken the ETag: these are no longer the bytes that it is for."""
        tags = [ETAG.fullmatch(line) for line in lines]
        return [
            line if tag is None else tag[1] + weak(tag[2])
            for line, tag in zip(lines, tags, strict=True)
        ]


def links_rewritten(config: UpstreamConfig) -> TransformFor | None:
    """Return what chooses the transform of an answer; None where `rewrite_links` is off."""
    if not config.rewrite_links:
        return None
    target = LinkTarget(config.url)

    def transform_for(
        request: RequestHead, head: ResponseHead, origin: Callable[[], bytes]
    ) -> Transform | None:
        if request.method == b"HEAD" or head.status in BODILESS:
            return None
        content_type = head.fields.get(b"content-type", b"").decode("latin-1")
        encoding = head.fields.get(b"content-encoding", b"").decode("latin-1")
        if not is_rewritten(head.status, content_type, encoding):
            return None
        return RewrittenBody(LinkRewriter(target, origin()))

    return transform_for
