"""Reports: CSV files made on request."""

import csv
import io

from aiohttp import web

from proxy.sandbox.asking import list_all
from proxy.sandbox.data import Json, new_id
from proxy.sandbox.endpoint import Endpoint, Routes
from proxy.sandbox.errors import not_found
from proxy.sandbox.records import find

READ = ("reporting_read",)
REPORT: Json = {"id": "candidates-by-job", "name": "Candidates by job", "type": "CSV"}


class ReportRoutes(Routes):
    """The handlers of the Reporting API; one report, of all candidates."""

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        reports, files = "/reporting-api/v201804/reports", "/reporting-api/v201804/files"
        of_report = f"{reports}/{{reportId}}/files"
        return [
            Endpoint("GET", reports, self._list, READ),
            Endpoint("GET", f"{reports}/{{reportId}}", self._get, READ),
            Endpoint("GET", of_report, self._list_files, READ),
            Endpoint("POST", of_report, self._make_file, READ),
            Endpoint("GET", f"{of_report}/recent", self._get_recent, READ),
            Endpoint("GET", f"{of_report}/recent/data", self._download_recent, READ),
            Endpoint("GET", f"{files}/{{fileId}}", self._get_file, READ),
            Endpoint("GET", f"{files}/{{fileId}}/data", self._download, READ),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        return list_all([REPORT])

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(_report(request))

    async def _list_files(self, request: web.Request) -> web.Response:
        _report(request)
        return list_all(map(_described, self._records.report_files.values()))

    async def _make_file(self, request: web.Request) -> web.Response:
        report = _report(request)
        made = {
            "reportFileId": new_id(),
            "reportId": report["id"],
            "reportFileStatus": "COMPLETED",
            "createdOn": self._now(),
            "data": self._csv(),
        }
        self._records.report_files[made["reportFileId"]] = made
        return web.json_response(_described(made), status=201)

    async def _get_recent(self, request: web.Request) -> web.Response:
        return web.json_response(_described(self._recent(request)))

    async def _download_recent(self, request: web.Request) -> web.Response:
        return _download(self._recent(request))

    async def _get_file(self, request: web.Request) -> web.Response:
        return web.json_response(_described(self._file(request)))

    async def _download(self, request: web.Request) -> web.Response:
        return _download(self._file(request))

    def _recent(self, request: web.Request) -> Json:
        _report(request)
        files = list(self._records.report_files.values())
        if not files:
            raise not_found("Report file")
        return files[-1]

    def _file(self, request: web.Request) -> Json:
        return find(self._records.report_files, request.match_info["fileId"], "Report file")

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["Candidate ID", "Name", "Job", "Status"])
        for candidate in self._records.candidates.values():
            first = candidate.get("primaryAssignment") or {"job": {"title": ""}, "status": ""}
            name = f"{candidate['firstName']} {candidate['lastName']}"
            writer.writerow([candidate["id"], name, first["job"]["title"], first["status"]])
        return text.getvalue()


def _report(request: web.Request) -> Json:
    if request.match_info["reportId"] != REPORT["id"]:
        raise not_found("Report")
    return REPORT


def _described(made: Json) -> Json:
    return {name: value for name, value in made.items() if name != "data"}


def _download(made: Json) -> web.Response:
    return web.Response(
        text=made["data"],
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{REPORT["id"]}.csv"'},
    )
