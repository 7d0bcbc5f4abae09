"""What the company has stored: the sample data, and what callers have made of it."""

from typing import TypeVar

from proxy.sandbox.data import (
    CANDIDATES,
    JOBS,
    ME,
    PROCESS,
    SOURCES,
    USERS,
    Attachment,
    Json,
    build_candidate,
    build_job,
    build_resume,
    build_user,
    new_id,
    stable_id,
)
from proxy.sandbox.errors import not_found

T = TypeVar("T")


class Records:
    """What the company has stored; it lives as long as the sandbox."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, *, empty: bool = False) -> None:
        """Go back to the sample data; `empty`: without candidates and jobs."""
        titles = [] if empty else [build_job(row) for row in JOBS.strip().splitlines()]
        # Kept oldest first, listed newest first: the first row of the sample is the newest.
        self.jobs: dict[str, Json] = {job["id"]: job for job in reversed(titles)}
        self.candidates: dict[str, Json] = {}
        self.attachments: dict[str, Attachment] = {}
        for row in reversed(() if empty else CANDIDATES):
            candidate = build_candidate(row, titles[row[4]])
            self.candidates[candidate["id"]] = candidate
            attachment = build_resume(candidate)
            self.attachments[attachment.id] = attachment
        self.users: dict[str, Json] = {user["id"]: user for user in (ME, *map(build_user, USERS))}
        labels = {job["department"]["id"]: job["department"] for job in titles}
        self.departments: dict[str, Json] = {
            name: {**department, "archived": False} for name, department in labels.items()
        }
        self.sources: dict[str, list[Json]] = {
            kind: [{"id": stable_id(name), "label": name} for name in names]
            for kind, names in SOURCES.items()
        }
        self.processes: dict[str, Json] = {PROCESS["id"]: PROCESS}
        self.teams: dict[str, dict[str, Json]] = {
            job["id"]: {ME["id"]: {"id": ME["id"], "role": "RECRUITER"}} for job in titles
        }
        # By candidate and job: the changes of status, oldest first.
        self.statuses: dict[tuple[str, str], list[Json]] = {
            (candidate["id"], candidate["primaryAssignment"]["job"]["id"]): [
                {
                    "id": stable_id(f"status {candidate['id']}"),
                    "status": candidate["primaryAssignment"]["status"],
                    "subStatus": None,
                    "changedOn": candidate["createdOn"],
                }
            ]
            for candidate in self.candidates.values()
        }
        self.messages: dict[str, Json] = {}
        self.report_files: dict[str, Json] = {}
        self.subscriptions: dict[str, Json] = {}

    def candidate(self, candidate_id: str) -> Json:
        """Return a candidate, or raise ApiError."""
        return find(self.candidates, candidate_id, "Candidate")

    def job(self, job_id: str) -> Json:
        """Return a job, or raise ApiError."""
        return find(self.jobs, job_id, "Job")

    def user(self, user_id: str) -> Json:
        """Return a user, or raise ApiError."""
        return find(self.users, user_id, "User")

    def add_candidate(self, fields: Json, now: str) -> Json:
        """Keep a new candidate with these fields."""
        candidate: Json = {
            "id": new_id(),
            "internal": False,
            "firstName": "",
            "lastName": "",
            "email": "",
            "phoneNumber": None,
            "location": {},
            "web": {},
            "tags": [],
            "secondaryAssignments": [],
            "createdOn": now,
            "updatedOn": now,
            **fields,
        }
        self.candidates[candidate["id"]] = candidate
        return candidate

    def add_job(self, fields: Json, now: str) -> Json:
        """Keep a new job with these fields."""
        job: Json = {
            "id": new_id(),
            "title": "",
            "refNumber": f"REF{len(self.jobs) + 20}X",
            "department": None,
            "location": {},
            "status": "CREATED",
            "postingStatus": "NOT_PUBLISHED",
            "createdOn": now,
            "updatedOn": now,
            "creator": {key: ME[key] for key in ("firstName", "lastName")},
            **fields,
        }
        self.jobs[job["id"]] = job
        return job

    def offers(self) -> list[Json]:
        """Return the offers made: one for each candidate whose status says so."""
        return [
            {
                "id": stable_id(f"offer {candidate['id']}"),
                "candidate": {"id": candidate["id"]},
                "job": first["job"],
                "status": "SENT",
                "createdOn": candidate["createdOn"],
            }
            for candidate in self.candidates.values()
            if (first := candidate.get("primaryAssignment")) and first["status"] == "OFFERED"
        ]

    def attachments_of(self, candidate_id: str) -> list[Attachment]:
        """Return a candidate's files, oldest first."""
        return [a for a in self.attachments.values() if a.candidate_id == candidate_id]

    def delete_candidate(self, candidate_id: str) -> None:
        """Forget a candidate with all files."""
        del self.candidates[candidate_id]
        for attachment in self.attachments_of(candidate_id):
            del self.attachments[attachment.id]
        for place in [place for place in self.statuses if place[0] == candidate_id]:
            del self.statuses[place]


def find(records: dict[str, T], key: str, what: str) -> T:
    """Return what is kept under a key; ApiError 404 says that there is no such `what`."""
    try:
        return records[key]
    except KeyError:
        raise not_found(what) from None
