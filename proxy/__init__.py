"""smartrecruiters-proxy: a local authenticating reverse proxy for the SmartRecruiters API.

One person consents once in a browser; from then on any program that can change its base URL calls
the API through this proxy, which adds a bearer token and keeps the grant behind it alive.
"""

__version__ = "0.2.0"
