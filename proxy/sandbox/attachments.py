"""Attachments of candidates: list, upload as multipart/form-data, download, delete."""

from collections.abc import Callable
from urllib.parse import quote

from aiohttp import web

from proxy.sandbox.data import Attachment, Records, new_id, timestamp
from proxy.sandbox.errors import ApiError, not_found
from proxy.sandbox.links import Links

TYPES = ("GENERIC_FILE", "RESUME", "COVER_LETTER", "ASSESSMENT", "OFFER", "OTHER")


class AttachmentRoutes:
    """The handlers of `…/attachments`."""

    def __init__(self, records: Records, links: Links, clock: Callable[[], float]) -> None:
        self._records = records
        self._links = links
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints; they must come before `/candidates/{id}`."""
        return [
            web.get("/candidates/attachments/{attachment}", self._download),
            web.delete("/candidates/attachments/{attachment}", self._delete),
            web.get("/candidates/{id}/attachments", self._list),
            web.post("/candidates/{id}/attachments", self._upload),
            web.get("/candidates/{id}/attachments/{attachment}", self._download),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        attachments = self._records.attachments_of(self._candidate_id(request))
        content = [self._links.attachment(attachment) for attachment in attachments]
        return web.json_response({"totalFound": len(content), "content": content})

    async def _upload(self, request: web.Request) -> web.Response:
        candidate_id = self._candidate_id(request)
        if request.content_type != "multipart/form-data":
            raise ApiError(
                415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type must be multipart/form-data"
            )
        try:
            form = await request.post()
        except ValueError:
            raise ApiError(400, "MALFORMED_BODY", "The body is not multipart/form-data") from None
        kind = form.get("attachmentType")
        if kind not in TYPES:
            raise ApiError(
                400, "VALIDATION_ERROR", f"attachmentType must be one of {', '.join(TYPES)}"
            )
        file = form.get("file")
        if not isinstance(file, web.FileField):
            raise ApiError(400, "VALIDATION_ERROR", "file is missing")
        attachment = Attachment(
            id=new_id(),
            candidate_id=candidate_id,
            name=file.filename,
            type=str(kind),
            content_type=file.content_type,
            uploaded_at=timestamp(self._clock()),
            content=file.file.read(),
        )
        self._records.attachments[attachment.id] = attachment
        return web.json_response(self._links.attachment(attachment), status=201)

    async def _download(self, request: web.Request) -> web.Response:
        attachment = self._attachment(request)
        # RFC 6266: the plain name for old programs, the exact one beside it.
        plain = attachment.name.encode("ascii", "replace").decode().replace('"', "'")
        exact = quote(attachment.name, safe="")
        disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"
        return web.Response(
            body=attachment.content,
            headers={
                "Content-Type": attachment.content_type,
                "Content-Disposition": disposition,
            },
        )

    async def _delete(self, request: web.Request) -> web.Response:
        del self._records.attachments[self._attachment(request).id]
        return web.Response(status=204)

    def _candidate_id(self, request: web.Request) -> str:
        candidate_id = request.match_info["id"]
        if candidate_id not in self._records.candidates:
            raise not_found("Candidate")
        return candidate_id

    def _attachment(self, request: web.Request) -> Attachment:
        attachment = self._records.attachments.get(request.match_info["attachment"])
        candidate_id = request.match_info.get("id")
        if attachment is None or candidate_id not in (None, attachment.candidate_id):
            raise not_found("Attachment")
        return attachment
