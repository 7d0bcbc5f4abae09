"""The API side: every operation that the sandbox answers, over one company's records.

Bodies are as documented, including `actions` with absolute URLs of the sandbox's own origin, so
that the proxy in front is tried with them.
"""

from proxy.sandbox.attachments import AttachmentRoutes
from proxy.sandbox.candidates import CandidateRoutes
from proxy.sandbox.company import CompanyRoutes
from proxy.sandbox.endpoint import Endpoint
from proxy.sandbox.jobs import JobRoutes
from proxy.sandbox.links import Links
from proxy.sandbox.records import Records
from proxy.sandbox.reports import ReportRoutes
from proxy.sandbox.settings import SandboxSettings
from proxy.sandbox.webhooks import WebhookRoutes


def build_endpoints(settings: SandboxSettings, links: Links, records: Records) -> list[Endpoint]:
    """Build the operations; the first that matches answers, so literal paths come first."""
    return [
        *AttachmentRoutes(settings, records, links).endpoints(),
        *CandidateRoutes(settings, records, links).endpoints(),
        *JobRoutes(settings, records, links).endpoints(),
        *CompanyRoutes(settings, records, links).endpoints(),
        *ReportRoutes(settings, records, links).endpoints(),
        *WebhookRoutes(settings, records, links).endpoints(),
    ]


def operations() -> list[Endpoint]:
    """Return what a sandbox answers, without starting one."""
    return build_endpoints(SandboxSettings(), Links(), Records())
