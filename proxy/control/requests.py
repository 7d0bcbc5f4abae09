"""Reading a request to the control routes: at which address, for whom, and with which fields.

Nothing of it is echoed.
"""

import json
from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode, urlsplit

from proxy.config import Config
from proxy.config.names import DEFAULT_ACCOUNT
from proxy.errors import Problem
from proxy.messages import Request
from proxy.system.origin import CallerOrigins

FORM = "application/x-www-form-urlencoded"


def base_url(request: Request, config: Config) -> str:
    """Return the address that the caller used for us, as a base URL without a final slash."""
    redirect_uri = config.oauth.redirect_uri
    host = request.header("host") or urlsplit(redirect_uri).netloc
    return CallerOrigins(redirect_uri).of(host, tls=request.is_tls)


def asked_account(request: Request, accounts: Mapping[str, object]) -> str:
    """Return the account that the query names, or the default one."""
    name = request.query.get("account", DEFAULT_ACCOUNT)
    if name not in accounts:
        raise Problem(
            "unknown_account",
            f"No account of that name is configured. Those that are: {', '.join(accounts)}.",
        )
    return name


def account_query(account: str | None) -> dict[str, str]:
    """Return the query that names an account; the default one needs none."""
    return {} if account in (None, DEFAULT_ACCOUNT) else {"account": account}


def with_account(path: str, account: str | None) -> str:
    """Return the path of a route for an account."""
    query = urlencode(account_query(account))
    return f"{path}?{query}" if query else path


def read_fields(request: Request) -> tuple[dict[str, str], bool]:
    """Read a JSON object or a form, and return whether it was a form; only text fields are kept."""
    body = request.body
    if not body.strip():
        return {}, request.content_type == FORM
    try:
        text = body.decode()
        # `curl -d '{…}'` calls JSON a form.
        if request.content_type == FORM and not text.lstrip().startswith("{"):
            return _form_fields(text), True
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise Problem(
            "bad_request", 'The request body must be JSON such as {"url": "…"}, or a form.'
        )
    return {key: value for key, value in parsed.items() if isinstance(value, str)}, False


def _form_fields(text: str) -> dict[str, str]:
    # `curl -d url=http://…?code=…&state=…` encodes nothing; a browser always encodes the colon.
    if text.startswith(("url=http://", "url=https://")):
        return {"url": text.removeprefix("url=")}
    fields = parse_qs(text, keep_blank_values=True, max_num_fields=50)
    if any(len(values) > 1 for values in fields.values()):
        raise Problem("bad_request", "A form field came twice; send it once.")
    return {name: values[0] for name, values in fields.items()}
