"""Webhook subscriptions: handshake by `X-Hook-Secret`, then a signed test notification.

The handshake is the vendor's (its demo client `sr-webhooks-client`): the receiver has 20 s to
answer 200 with the same `X-Hook-Secret`. The name and form of the signature header were not found
in public; `SmartRecruiters-Signature` (HMAC-SHA256 of the body, hex) is this sandbox's own.
Notifications go to this machine only: a sandbox calls nobody else.
"""

import hashlib
import hmac
import ipaddress
import json
import secrets
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from proxy.sandbox.asking import page_by_id, read_object, require
from proxy.sandbox.data import COMPANY_ID, Json, new_id
from proxy.sandbox.endpoint import Endpoint, Routes
from proxy.sandbox.errors import ApiError, not_found
from proxy.sandbox.records import find

MANAGE = ("webhooks_manage",)
HANDSHAKE_TIMEOUT = 20
NOTIFICATION_TIMEOUT = 5
SIGNATURE = "SmartRecruiters-Signature"


class WebhookRoutes(Routes):
    """The handlers of `/webhooks-api/v201907/subscriptions`."""

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        every = "/webhooks-api/v201907/subscriptions"
        one = f"{every}/{{id}}"
        return [
            Endpoint("GET", every, self._list, MANAGE),
            Endpoint("POST", every, self._create, MANAGE),
            Endpoint("GET", one, self._get, MANAGE),
            Endpoint("DELETE", one, self._delete, MANAGE),
            Endpoint("PUT", f"{one}/activation", self._activate, MANAGE),
            Endpoint("POST", f"{one}/secret-key", self._make_secret, MANAGE),
            Endpoint("GET", f"{one}/secret-key", self._get_secret, MANAGE),
            Endpoint("GET", f"{one}/callbacks-log", self._get_log, MANAGE),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        return page_by_id(request, list(map(_described, self._records.subscriptions.values())))

    async def _create(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        require(fields, "callbackUrl", "events")
        events = fields["events"]
        if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
            raise ApiError(400, "VALIDATION_ERROR", "events must be a list of texts")
        if not _is_loopback(str(fields["callbackUrl"])):
            raise ApiError(
                400, "VALIDATION_ERROR", "The sandbox notifies http://localhost… addresses alone"
            )
        subscription: Json = {
            "id": new_id(),
            "callbackUrl": fields["callbackUrl"],
            "events": events,
            "alertingEmailAddress": fields.get("alertingEmailAddress"),
            "status": "inactive",
            "secret": None,
            "log": [],
        }
        self._records.subscriptions[subscription["id"]] = subscription
        return web.json_response(_described(subscription), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(_described(self._subscription(request)))

    async def _delete(self, request: web.Request) -> web.Response:
        del self._records.subscriptions[self._subscription(request)["id"]]
        return web.Response(status=204)

    async def _activate(self, request: web.Request) -> web.Response:
        subscription = self._subscription(request)
        secret = secrets.token_hex(16)
        headers = {"X-Hook-Secret": secret}
        answer = await self._call(subscription, b"", headers, HANDSHAKE_TIMEOUT)
        if answer is None or answer[0] != 200 or answer[1] != secret:
            raise ApiError(
                400,
                "HANDSHAKE_FAILED",
                "The callback did not answer 200 with the same X-Hook-Secret within 20 seconds",
            )
        subscription["status"] = "active"
        await self._notify(subscription)
        return web.Response(status=204)

    async def _make_secret(self, request: web.Request) -> web.Response:
        subscription = self._subscription(request)
        subscription["secret"] = secrets.token_hex(32)
        return web.json_response({"secretKey": subscription["secret"]}, status=201)

    async def _get_secret(self, request: web.Request) -> web.Response:
        secret = self._subscription(request)["secret"]
        if secret is None:
            raise not_found("Secret key")
        return web.json_response({"secretKey": secret})

    async def _get_log(self, request: web.Request) -> web.Response:
        return page_by_id(request, self._subscription(request)["log"][::-1])

    # ── helpers ──

    def _subscription(self, request: web.Request) -> Json:
        return find(self._records.subscriptions, request.match_info["id"], "Subscription")

    async def _notify(self, subscription: Json) -> None:
        """Send the first event subscribed to, about a candidate of the sample data."""
        candidate = next(iter(self._records.candidates), "")
        link = f"{self._links.origin}/candidates/{candidate}"
        event = subscription["events"][0]
        body = json.dumps({"companyId": COMPANY_ID, "candidate_id": candidate}).encode()
        headers = {
            "Content-Type": "application/json",
            "Event-Name": event,
            "Event-ID": new_id(),
            "Link": f'<{link}>; rel="self"',
        }
        if subscription["secret"] is not None:
            key = subscription["secret"].encode()
            headers[SIGNATURE] = hmac.new(key, body, hashlib.sha256).hexdigest()
        answer = await self._call(subscription, body, headers, NOTIFICATION_TIMEOUT)
        subscription["log"].append(
            {
                "eventName": event,
                "status": answer[0] if answer else None,
                "sentOn": self._now(),
            }
        )

    async def _call(
        self, subscription: Json, body: bytes, headers: dict[str, str], timeout: float
    ) -> tuple[int, str | None] | None:
        """Return the receiver's status and its `X-Hook-Secret`, or None without an answer."""
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, trust_env=False) as session,
                session.post(
                    subscription["callbackUrl"], data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                return answer.status, answer.headers.get("X-Hook-Secret")
        except (aiohttp.ClientError, TimeoutError):
            return None


def _described(subscription: Json) -> Json:
    return {name: value for name, value in subscription.items() if name not in ("secret", "log")}


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http":
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
