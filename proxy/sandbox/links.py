"""`actions` with absolute URLs, as the API puts them into bodies."""

from proxy.sandbox.data import COMPANY_ID, COMPANY_NAME, Attachment, Json


class Links:
    """Adds links to what is answered; `origin` is set when the sandbox starts."""

    def __init__(self) -> None:
        self.origin = ""

    def candidate(self, candidate: Json) -> Json:
        """Return a candidate as the API answers it."""
        path = f"/candidates/{candidate['id']}"
        answer = {
            **candidate,
            "actions": {
                "details": self._action("GET", path),
                "attachments": self._action("GET", f"{path}/attachments"),
                "update": self._action("PATCH", path),
            },
        }
        if "primaryAssignment" in candidate:
            assignment = candidate["primaryAssignment"]
            job = assignment["job"]
            actions = {"details": self._action("GET", f"/jobs/{job['id']}")}
            answer["primaryAssignment"] = {**assignment, "job": {**job, "actions": actions}}
        return answer

    def job(self, job: Json) -> Json:
        """Return a job as the API answers it."""
        path = f"/jobs/{job['id']}"
        return {
            **job,
            "actions": {
                "details": self._action("GET", path),
                "update": self._action("PATCH", path),
            },
        }

    def assignment(self, candidate: Json, assignment: Json) -> Json:
        """Return a candidate's assignment to a job as the API answers it."""
        path = f"/candidates/{candidate['id']}/jobs/{assignment['job']['id']}"
        return {
            **assignment,
            "actions": {
                "details": self._action("GET", path),
                "updateStatus": self._action("PUT", f"{path}/status"),
            },
        }

    def posting(self, job: Json) -> Json:
        """Return a published job as the public postings show it."""
        kept = ("id", "refNumber", "location", "department", "typeOfEmployment", "language")
        return {
            **{name: job[name] for name in kept if name in job},
            "name": job["title"],
            "company": {"identifier": COMPANY_ID, "name": COMPANY_NAME},
            "releasedDate": job["createdOn"],
            "ref": f"{self.origin}/v1/companies/{COMPANY_ID}/postings/{job['id']}",
        }

    def document(self, offer: Json) -> Json:
        """Return what the API says of an offer's document."""
        path = f"/offers/{offer['id']}/documents/letter-{offer['id']}"
        return {
            "id": f"letter-{offer['id']}",
            "name": "Offer letter.txt",
            "actions": {"download": self._action("GET", path)},
        }

    def attachment(self, attachment: Attachment) -> Json:
        """Return what the API says of a file."""
        return {
            "id": attachment.id,
            "name": attachment.name,
            "type": attachment.type,
            "contentType": attachment.content_type,
            "uploadDate": attachment.uploaded_at,
            "actions": {
                "download": self._action("GET", f"/candidates/attachments/{attachment.id}")
            },
        }

    def _action(self, method: str, path: str) -> Json:
        return {"url": f"{self.origin}{path}", "method": method}
