"""The pages of the sandbox's identity side: consent, and what is wrong with a request.

Plain HTML, no script, no resource of another host; light and dark. Everything is escaped.
"""

from html import escape

from aiohttp import web

# The text for each scope; a scope that is not listed is shown by its name.
SCOPES_IN_WORDS = {
    "candidates_read": "See your candidates",
    "candidates_create": "Create candidates",
    "candidates_manage": "Change and delete candidates, and their attachments",
    "candidates_offers_read": "See the offers made to candidates",
    "jobs_read": "See your jobs",
    "jobs_manage": "Create and change jobs",
    "users_read": "See the users of your company",
    "user_me_read": "See your own profile",
    "company_read": "See your company's public information",
    "configuration_read": "See your company's configuration",
    "job_applications_read": "See job applications",
    "messages_write": "Send messages to candidates",
    "interviews_read": "See interviews",
    "reviews_read": "See reviews of candidates",
    "reporting_read": "Run reports",
    "webhooks_manage": "Manage webhooks",
    "audit_events_read": "See audit events",
}

STYLE = """
:root { color-scheme: light dark; --page: #f2f4f7; --card: #fff; --text: #1d2733; --quiet: #5a6675;
  --line: #dfe4ea; --accent: #176b4d; --on-accent: #fff; --warn: #8a5a00; --warn-page: #fff6df; }
@media (prefers-color-scheme: dark) { :root { --page: #12161b; --card: #1b2129; --text: #e8edf3;
  --quiet: #a3afbd; --line: #303945; --accent: #4cc394; --on-accent: #08130e; --warn: #f0c46a;
  --warn-page: #2b2414; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; flex-direction: column; align-items: center;
  justify-content: center; padding: 1.5rem 1rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 27rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; padding: 2rem; box-shadow: 0 10px 30px rgb(0 0 0 / .08); }
header { display: flex; align-items: center; gap: .75rem; padding-bottom: 1.25rem;
  border-bottom: 1px solid var(--line); }
.mark { display: grid; place-items: center; width: 2.5rem; height: 2.5rem; border-radius: 10px;
  background: var(--accent); color: var(--on-accent); font-weight: 700; }
header p { margin: 0; line-height: 1.25; } header small { color: var(--quiet); }
h1 { font-size: 1.3rem; line-height: 1.3; margin: 1.5rem 0 .25rem; }
p { margin: .5rem 0; } .quiet { color: var(--quiet); font-size: .9rem; }
ul { list-style: none; margin: 1rem 0; padding: 0; border: 1px solid var(--line);
  border-radius: 10px; }
li { padding: .6rem .9rem; display: flex; gap: .6rem; }
li + li { border-top: 1px solid var(--line); }
li::before { content: "\\2713" / ""; color: var(--accent); font-weight: 700; }
form { display: flex; gap: .75rem; margin-top: 1.5rem; }
button { flex: 1; padding: .7rem 1rem; border-radius: 9px; font: inherit; font-weight: 600;
  cursor: pointer; border: 1px solid var(--line); background: transparent; color: inherit; }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
code { font-size: .9em; overflow-wrap: anywhere; }
footer { width: 100%; max-width: 27rem; margin-top: 1rem; padding: .6rem .9rem; font-size: .85rem;
  color: var(--warn); background: var(--warn-page); border-radius: 10px; }
"""

HEADERS = {
    # No form-action: browsers apply it to the redirect after the form, which leaves this origin.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def consent_page(app_name: str, scopes: tuple[str, ...], user: str, company: str) -> web.Response:
    """Build the consent page; its form posts to the page's own URL."""
    items = "".join(f"<li>{escape(SCOPES_IN_WORDS.get(scope, scope))}</li>" for scope in scopes)
    return _page(
        f"Authorize {app_name}",
        f"""<h1>{escape(app_name)} asks for access to your account</h1>
<p class="quiet">Signed in as <strong>{escape(user)}</strong>, {escape(company)}</p>
<p>If you authorize it, it will be able to:</p>
<ul>{items}</ul>
<p class="quiet">It can never do more than your own role allows. You can withdraw the access at
any time in your settings.</p>
<form method="post">
<button type="submit" name="decision" value="decline">Decline</button>
<button type="submit" name="decision" value="authorize" class="primary">Authorize</button>
</form>""",
    )


def refusal_page(title: str, explanation: str) -> web.Response:
    """Build the page for a request that must not be redirected: its redirect URI may be wrong."""
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(explanation)}</p>", status=400)


def _page(title: str, body: str, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers=HEADERS,
        text=f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · SmartRecruiters sandbox</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<header><span class="mark" aria-hidden="true">SR</span>
<p><strong>SmartRecruiters</strong><br><small>Sandbox</small></p></header>
{body}
</main>
<footer>This is a sandbox on your own machine. Nothing here reaches SmartRecruiters, and the people
in it do not exist.</footer>
</body>
</html>
""",
    )
