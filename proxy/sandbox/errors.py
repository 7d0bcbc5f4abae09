"""The API's error bodies: `{"message", "errors": [{"code", "message"}]}`."""

from aiohttp import web


class ApiError(Exception):
    """A refusal by the API, with its status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        """Return the error as a response."""
        body = {"message": self.message, "errors": [{"code": self.code, "message": self.message}]}
        response = web.json_response(body, status=self.status)
        if self.status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        return response


class InsufficientScope(ApiError):
    """403 as the vendor's own middleware (`openapi-first`) answers it: any one scope suffices."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        super().__init__(
            403, "INSUFFICIENT_SCOPE", f"One of these scopes is needed: {', '.join(scopes)}"
        )
        self._scopes = scopes

    def response(self) -> web.Response:
        """Return the response, with the scopes in `WWW-Authenticate` (RFC 6750 section 3)."""
        response = super().response()
        response.headers["WWW-Authenticate"] = (
            f'Bearer scope="{" ".join(self._scopes)}", error="insufficient_scope"'
        )
        return response


def not_found(what: str) -> ApiError:
    """Return the refusal for something that is not there."""
    return ApiError(404, "RESOURCE_NOT_FOUND", f"{what} not found")
