"""Sample data: one company, its users, six jobs and a dozen candidates. Nobody in it exists.

Ids are the same at every start, so that a command line in the docs works each time.
"""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

# JSON objects as the API gives them, without `actions`, which are added when answering.
Json = dict[str, Any]

COMPANY_NAME = "Lindqvist & Okafor"
COMPANY_ID = "LindqvistOkafor"

_NAMESPACE = uuid.UUID("5a6bd1f4-7f43-4c1e-9d86-3f5c5b0a7d11")


def stable_id(name: str) -> str:
    """Return an id that is the same at every start."""
    return str(uuid.uuid5(_NAMESPACE, name))


ME: Json = {
    "id": stable_id("user"),
    "email": "ingrid.lindqvist@lindqvist-okafor.example",
    "firstName": "Ingrid",
    "lastName": "Lindqvist",
    "active": True,
    "role": "ADMINISTRATOR",
    "language": {"code": "en", "label": "English"},
    "location": {"country": "Sweden", "countryCode": "se", "city": "Gothenburg"},
}

COMPANY: Json = {
    "id": COMPANY_ID,
    "identifier": COMPANY_ID,
    "name": COMPANY_NAME,
    "industry": {"id": "renewables", "label": "Renewables and Environment"},
    "language": {"code": "en", "label": "English"},
    "url": "https://lindqvist-okafor.example",
}

# Reference number | title | department | city | country | code | status | employment | created.
JOBS = """
REF12A|Wind Turbine Technician|Field Service|Esbjerg|Denmark|dk|SOURCING|permanent|2026-02-03
REF15C|Senior Backend Engineer|Engineering|Gothenburg|Sweden|se|INTERVIEW|permanent|2026-01-19
REF16B|Product Designer|Design|Lagos|Nigeria|ng|SOURCING|permanent|2026-03-02
REF18F|Grid Data Analyst|Operations|Rotterdam|Netherlands|nl|OFFER|contract|2025-11-27
REF21D|Recruiting Coordinator|People|Gothenburg|Sweden|se|CREATED|permanent|2026-03-11
REF22E|Working Student, Sustainability|Communications|Kraków|Poland|pl|SOURCING|intern|2026-02-24
"""

CandidateRow = tuple[str, str, str, str, int, str, tuple[str, ...], str]
# First name, last name, city, code, job's number in JOBS, status, tags, created.
CANDIDATES: tuple[CandidateRow, ...] = (
    ("Amara", "Nwosu", "Lagos", "ng", 2, "INTERVIEW", ("figma", "portfolio"), "2026-03-04"),
    ("Bartosz", "Wiśniewski", "Kraków", "pl", 5, "NEW", (), "2026-03-09"),
    ("Chiara", "Bellini", "Bologna", "it", 1, "IN_REVIEW", ("python",), "2026-02-11"),
    ("Daan", "de Vries", "Rotterdam", "nl", 3, "OFFERED", ("sql", "grid"), "2026-01-15"),
    ("Eilidh", "MacLeod", "Aberdeen", "gb", 0, "INTERVIEW", ("gwo-certified",), "2026-02-20"),
    ("Farid", "Haddad", "Malmö", "se", 1, "INTERVIEW", ("go", "kubernetes"), "2026-02-02"),
    ("Greta", "Sørensen", "Esbjerg", "dk", 0, "OFFERED", ("offshore",), "2026-02-06"),
    ("Hiroshi", "Tanaka", "Gothenburg", "se", 1, "REJECTED", (), "2026-01-28"),
    ("Inês", "Carvalho", "Porto", "pt", 2, "IN_REVIEW", ("illustration",), "2026-03-12"),
    ("Jonas", "Lindgren", "Borås", "se", 4, "NEW", ("referral",), "2026-03-14"),
    ("Kwabena", "Mensah", "Accra", "gh", 3, "IN_REVIEW", ("r", "statistics"), "2025-12-08"),
    ("Lucía", "Fernández", "Bilbao", "es", 0, "NEW", ("electrician",), "2026-03-01"),
)

# First name, last name, role.
USERS = (
    ("Chidi", "Okafor", "ADMINISTRATOR"),
    ("Maja", "Holm", "EXTENDED"),
    ("Tomás", "Rivera", "STANDARD"),
    ("Yuki", "Sato", "EMPLOYEE"),
)

SOURCES = {
    "CAREER_SITE": ("Career site",),
    "JOB_BOARDS": ("Indeed", "LinkedIn", "StepStone"),
    "EMPLOYEE_REFERRAL": ("Employee referral",),
}

PROCESS: Json = {
    "id": "default",
    "name": "Default hiring process",
    "statuses": ["NEW", "IN_REVIEW", "INTERVIEW", "OFFERED", "HIRED"],
}

_PLAIN = str.maketrans("śøêíáåö", "soeiaao")


@dataclass(slots=True)
class Attachment:
    """A file of a candidate's, in memory."""

    id: str
    candidate_id: str
    name: str
    type: str
    content_type: str
    uploaded_at: str
    content: bytes = field(repr=False)


def new_id() -> str:
    """Return a random id for a new object."""
    return str(uuid.uuid4())


def timestamp(at: float) -> str:
    """Return an instant as the API spells it."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def build_user(row: tuple[str, str, str]) -> Json:
    """Return the user of a row of USERS."""
    first_name, last_name, role = row
    name = f"{first_name}.{last_name}".lower().replace("á", "a")
    return {
        "id": stable_id(f"user {name}"),
        "email": f"{name}@lindqvist-okafor.example",
        "firstName": first_name,
        "lastName": last_name,
        "active": True,
        "role": role,
        "language": ME["language"],
        "location": ME["location"],
    }


def build_job(row: str) -> Json:
    """Return the job of a line of JOBS."""
    reference, title, department, city, country, code, status, employment, created = row.split("|")
    return {
        "id": stable_id(reference),
        "title": title,
        "refNumber": reference,
        "createdOn": f"{created}T08:00:00.000Z",
        "updatedOn": f"{created}T08:00:00.000Z",
        "department": {"id": department.lower().replace(" ", "-"), "label": department},
        "location": {"country": country, "countryCode": code, "city": city, "remote": False},
        "status": status,
        "postingStatus": "NOT_PUBLISHED" if status == "CREATED" else "PUBLIC",
        "language": {"code": "en", "label": "English"},
        "typeOfEmployment": {"id": employment, "label": employment.capitalize()},
        "creator": {key: ME[key] for key in ("firstName", "lastName")},
    }


def build_candidate(row: CandidateRow, job: Json) -> Json:
    """Return the candidate of a row of CANDIDATES, assigned to `job`."""
    first_name, last_name, city, code, _, status, tags, created = row
    name = f"{first_name}.{last_name}".lower().replace(" ", "").translate(_PLAIN)
    created_on = f"{created}T09:00:00.000Z"
    return {
        "id": stable_id(name),
        "internal": False,
        "firstName": first_name,
        "lastName": last_name,
        "email": f"{name}@mail.example",
        "phoneNumber": None,
        "location": {"city": city, "countryCode": code},
        "web": {},
        "createdOn": created_on,
        "updatedOn": created_on,
        "tags": list(tags),
        "primaryAssignment": {
            "job": {"id": job["id"], "title": job["title"]},
            "status": status,
            "source": "Career site",
        },
        "secondaryAssignments": [],
    }


def build_resume(candidate: Json) -> Attachment:
    """Return a candidate's CV, as text."""
    name = f"{candidate['firstName']} {candidate['lastName']}"
    text = (
        f"{name}\n{candidate['location']['city']}\n{candidate['email']}\n\n"
        f"Applying for: {candidate['primaryAssignment']['job']['title']}\n"
        f"Skills: {', '.join(candidate['tags']) or 'to be talked about'}\n"
    )
    return Attachment(
        id=stable_id(f"resume {candidate['id']}"),
        candidate_id=candidate["id"],
        name=f"CV {name}.txt",
        type="RESUME",
        content_type="text/plain",
        uploaded_at=candidate["createdOn"],
        content=text.encode(),
    )
