"""Attachments of candidates: list, upload as multipart/form-data, download, delete."""

from urllib.parse import quote

from aiohttp import web

from proxy.sandbox.asking import list_all
from proxy.sandbox.data import Attachment, new_id
from proxy.sandbox.endpoint import Endpoint, Routes
from proxy.sandbox.errors import ApiError, not_found

READ, CREATE = ("candidates_read",), ("candidates_create",)
TYPES = ("GENERIC_FILE", "RESUME", "COVER_LETTER", "ASSESSMENT", "OFFER", "OTHER")


class AttachmentRoutes(Routes):
    """The handlers of `…/attachments`."""

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints; they must come before `/candidates/{id}`."""
        alone, listed = "/candidates/attachments/{attachment}", "/candidates/{id}/attachments"
        return [
            Endpoint("GET", alone, self._download, READ),
            Endpoint("DELETE", alone, self._delete, CREATE),
            Endpoint("GET", listed, self._list, READ),
            Endpoint("POST", listed, self._upload, CREATE),
            Endpoint("GET", f"{listed}/{{attachment}}", self._download, READ),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        attachments = self._records.attachments_of(self._candidate_id(request))
        return list_all(map(self._links.attachment, attachments))

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
            uploaded_at=self._now(),
            content=file.file.read(),
        )
        self._records.attachments[attachment.id] = attachment
        return web.json_response(self._links.attachment(attachment), status=201)

    async def _download(self, request: web.Request) -> web.Response:
        attachment = self._attachment(request)
        # RFC 6266: an ASCII name for old programs, and the exact one.
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
        return str(self._records.candidate(request.match_info["id"])["id"])

    def _attachment(self, request: web.Request) -> Attachment:
        attachment = self._records.attachments.get(request.match_info["attachment"])
        candidate_id = request.match_info.get("id")
        if attachment is None or candidate_id not in (None, attachment.candidate_id):
            raise not_found("Attachment")
        return attachment
