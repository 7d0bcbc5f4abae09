"""The upper part of the status page: may my tools call now, the grant clock, and what to do."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from proxy.control.markup import Html, html, join, when
from proxy.control.pages import button, facts, paragraph
from proxy.control.words import duration, moment, parse_instant
from proxy.errors import KINDS, Problem

REASONS = {
    "never_authorized": "Nobody has logged in yet.",
    "grant_expired": "The grant has ended: it was not renewed within its 28 days.",
    "grant_revoked": "SmartRecruiters no longer accepts the grant. It was revoked, its user was "
    "deleted, or its refresh token was used elsewhere.",
    "logged_out": "The grant was forgotten by a log-out.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to the one question that people come with."""

    tone: str
    heading: str
    explanation: str
    action: str


def verdict(account: dict[str, Any], problem: Problem | None) -> Verdict:
    """Say whether calls go through now, why not, and what to do."""
    state = account["state"]
    if state == "login_required":
        reason = REASONS.get(str(account["reason"]), "There is no usable grant.")
        advice = (
            "Log in once with SmartRecruiters; from then on the proxy renews the grant by itself."
        )
        return Verdict("bad", "Your tools cannot call now", f"{reason} {advice}", "Log in")
    if problem is not None:
        return Verdict("bad", "Calls are refused for now", problem.detail, "Log in again")
    if state == "degraded":
        return Verdict(
            "warn",
            "Working, but not renewing",
            "Calls still go through where the access token allows. Renewing it fails; the proxy "
            "keeps trying by itself, and the grant is kept.",
            "Log in again",
        )
    return Verdict(
        "good", "Your tools can call now", "Every call gets a fresh access token.", "Log in again"
    )


def overview(
    account: dict[str, Any],
    owner: str | None,
    problem: Problem | None,
    now: float,
    margin: float,
    granted_at: float | None = None,
) -> Html:
    """Build the part of the page that changes with the grant."""
    said = verdict(account, problem)
    suffix = "" if account["name"] == "default" else "?account=" + quote(account["name"], safe="")
    has_grant = account["state"] != "login_required"
    actions = [button(said.action, "/-/login" + suffix, primary=not has_grant)]
    if has_grant:
        actions.append(
            html(
                '<form method="post" action="/-/logout$suffix">'
                '<button class="button" data-confirm="Forget the grant? Every tool stops working '
                'until someone logs in again.">Log out</button></form>',
                suffix=suffix,
            )
        )
    return html(
        """<section class="card verdict $tone" aria-labelledby="verdict-heading">
<p class="pill"><span class="dot" aria-hidden="true"></span>$state</p>
<h1 id="verdict-heading">$heading</h1>
<p class="lead">$explanation</p>
$problem$last
$facts
<div class="actions">$actions</div>
</section>
$clock""",
        tone=said.tone,
        state=str(account["state"]).replace("_", " "),
        heading=said.heading,
        explanation=said.explanation,
        problem=_problem(problem, account),
        last=_last_refresh(account),
        facts=when(has_grant, _facts(account, owner, granted_at)),
        actions=join(actions),
        clock=when(has_grant, _clock(account, now, margin)),
    )


def _problem(problem: Problem | None, account: dict[str, Any]) -> Html:
    said = []
    if account.get("warning"):
        said.append(paragraph(account["warning"], "notice"))
    if problem is not None:
        if problem.code == "login_required" and account["reason"] != "never_authorized":
            said.append(paragraph(problem.detail, "quiet"))
        said.append(
            html(
                '<p class="quiet">Callers get <a href="#problem-$code"><code>$code</code></a>'
                "$reason.</p>",
                code=problem.code,
                reason=f" ({problem.reason})" if problem.reason else "",
            )
        )
    return join(said)


def _last_refresh(account: dict[str, Any]) -> Html:
    last = account["last_refresh"]
    if not last or last.get("outcome") in (None, "ok"):
        return Html("")
    code = last.get("code")
    return html(
        '<p class="notice">The last renewal failed, $at$code$detail</p>',
        at=moment(parse_instant(last["at"])),
        code=html(": <code>$code</code>. ", code=code) if code else ". ",
        detail=last.get("detail") or "",
    )


def _facts(account: dict[str, Any], owner: str | None, granted_at: float | None) -> Html:
    scopes = account["scopes"]
    rows: list[tuple[str, object]] = [("Acts for", owner or "not known")]
    if granted_at is not None:
        rows.append(("Since", moment(granted_at, "day")))
    if scopes:
        chips = join(html("<li><code>$scope</code></li>", scope=scope) for scope in scopes)
        rows.append(("Scopes", html('<ul class="chips">$chips</ul>', chips=chips)))
    else:
        rows.append(("Scopes", "the app’s defaults"))
    access = account["access_token"]
    if access:
        rows.append(("Last renewed", moment(parse_instant(access["issued_at"]))))
    return facts(rows)


def _clock(account: dict[str, Any], now: float, margin: float) -> Html:
    access, refresh = account["access_token"], account["refresh_token"]
    parts = []
    if access:
        begin, end = parse_instant(access["issued_at"]), parse_instant(access["expires_at"])
        lifetime = max(1.0, end - begin)
        left = max(0.0, end - now)
        renewal = end - min(margin, lifetime / 2)
        parts.append(
            html(
                """<div class="gauge"><p class="gauge-label" id="access-label">Access token</p>
<p class="gauge-value" data-countdown="$iso" data-ended="expired">$left</p>
<progress aria-labelledby="access-label" max="$lifetime" value="$value" data-begin="$begin"
 data-end="$end"></progress>
<p class="quiet">$renewal</p></div>""",
                iso=access["expires_at"],
                left=f"{duration(left)} left" if left else "expired",
                lifetime=round(lifetime),
                value=round(left),
                begin=access["issued_at"],
                end=access["expires_at"],
                renewal=html("Renewed with the first call after $at.", at=moment(renewal, "clock"))
                if left
                else paragraph_text("Renewed with the next call."),
            )
        )
    if refresh:
        end = parse_instant(refresh["expires_at"])
        parts.append(
            html(
                """<div class="gauge"><p class="gauge-label" id="grant-label">Grant</p>
<p class="gauge-value">$left</p>
<progress aria-labelledby="grant-label" max="$lifetime" value="$value"></progress>
<p class="quiet">Renews by itself while the proxy runs. Would end on $end if it were stopped
now.</p></div>""",
                left=f"{duration(end - now)} left",
                lifetime=round(max(1.0, end - parse_instant(refresh["issued_at"]))),
                value=round(max(0.0, end - now)),
                end=moment(end, "day"),
            )
        )
    if not parts:
        return Html("")
    return html(
        '<section class="card clock" aria-labelledby="clock-heading">'
        '<h2 id="clock-heading">Grant clock</h2><div class="gauges">$parts</div></section>',
        parts=join(parts),
    )


def paragraph_text(text: str) -> Html:
    """Return plain text as markup."""
    return html("$text", text=text)


def problem_help() -> Html:
    """Build the list of problem codes, the same sentences as in docs/behaviour.md."""
    rows = join(
        html(
            '<div id="problem-$code" tabindex="-1"><dt><code>$code</code> '
            '<span class="quiet">$status</span></dt><dd>$help</dd></div>',
            code=kind.code,
            status=kind.status,
            help=kind.help,
        )
        for kind in KINDS.values()
    )
    return html(
        '<details class="card help" id="problems"><summary><h2>What the error codes mean</h2>'
        "</summary>$intro<dl>$rows</dl></details>",
        intro=paragraph(
            "Errors made by the proxy are problem+json with a code and carry a Proxy-Status "
            "header; every other answer is SmartRecruiters’ own.",
            "quiet",
        ),
        rows=rows,
    )
