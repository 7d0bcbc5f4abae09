"""An embedded SmartRecruiters: identity and API on one port, with sample data.

For trying the product without an account, and for tests. It behaves as SmartRecruiters is
documented to: 30-second single-use codes, single-use rotating refresh tokens whose reuse ends the
grant, throttling, absolute URLs in bodies. It imports nothing from the rest of the package: with
shared code a mistake would be on both sides, and no test would see it.
"""

from proxy.sandbox.api import operations
from proxy.sandbox.endpoint import Endpoint
from proxy.sandbox.identity import Presentation
from proxy.sandbox.login import approve_login
from proxy.sandbox.server import Sandbox
from proxy.sandbox.settings import SandboxSettings

__all__ = ["Endpoint", "Presentation", "Sandbox", "SandboxSettings", "approve_login", "operations"]
