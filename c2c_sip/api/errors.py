"""Errors of all layers, turned once into HTTP."""

import logging
from typing import Any

import falcon
import peewee as pw

from c2c_sip.api import envelope
from c2c_sip.calling.policy import Refusal
from c2c_sip.schemas import Errors
from c2c_sip.store import StoreError

log = logging.getLogger(__name__)


class ApiError(Exception):
    """An answer that is no success: the status, Kazoo's message for it, and what there is to say."""

    def __init__(
        self,
        status: int,
        message: str,
        data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.data = {"message": message.replace("_", " ")} if data is None else data
        self.headers = headers or {}


def not_found() -> ApiError:
    """404: no such thing, or another account's."""
    return ApiError(404, "not_found")


def unauthorized() -> ApiError:
    """401: no token, or one that does not serve."""
    # Not Basic, which would have browsers ask for a password over the page.
    headers = {"WWW-Authenticate": 'Bearer realm="c2c-sip"'}
    return ApiError(401, "invalid_credentials", headers=headers)


def forbidden() -> ApiError:
    """403: a user who may look, and call, but not change; or who is of an account that does not run the service."""
    return ApiError(403, "forbidden")


def invalid(errors: Errors) -> ApiError:
    """400 with what is wrong, by field."""
    return ApiError(400, "validation error", errors)


def from_refusal(refusal: Refusal, version: str) -> ApiError:
    """What a refused activation is answered with."""
    if refusal.kind == "validation":
        detail = {"message": refusal.message, "cause": refusal.value, "reason": refusal.reason}
        return invalid({refusal.field: {refusal.rule: detail}})
    status = 429 if refusal.kind == "throttled" and version == "v2" else 503
    names = {"throttled": "too_many_requests", "full": "too_many_requests"}
    data: dict[str, Any] = {"message": refusal.message, "reason": refusal.reason}
    if refusal.activation is not None:
        data["activation"] = envelope.activation(refusal.activation)
    headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {}
    return ApiError(status, names.get(refusal.kind, "service_unavailable"), data, headers)


def install(app: "falcon.App[Any, Any]") -> None:
    """Have every error of the application answered in the envelope."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(falcon.HTTPError, _http_error)
    app.add_error_handler(pw.PeeweeException, _database)
    app.add_error_handler(StoreError, _database)
    app.add_error_handler(ApiError, _api_error)
    app.add_error_handler(Refusal, _refused)


def _api_error(req: falcon.Request, resp: falcon.Response, error: ApiError, params: Any) -> None:
    for name, value in error.headers.items():
        resp.set_header(name, value)
    envelope.failure(req, resp, error.status, error.message, error.data)


def _refused(req: falcon.Request, resp: falcon.Response, error: Refusal, params: Any) -> None:
    _api_error(req, resp, from_refusal(error, envelope.version_of(req)), params)


def _http_error(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: Any
) -> None:
    names = {404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type"}
    status = error.status_code
    message = names.get(status, (error.title or "error").lower().replace(" ", "_"))
    for name, value in (error.headers or {}).items():  # type: ignore[union-attr]
        resp.set_header(name, value)
    data = {"message": error.description or message.replace("_", " ")}
    envelope.failure(req, resp, status, message, data)


def _database(
    req: falcon.Request,
    resp: falcon.Response,
    error: pw.PeeweeException | StoreError,
    params: Any,
) -> None:
    log.error("database: %s", error)
    resp.set_header("Retry-After", "5")
    envelope.failure(req, resp, 503, "datastore_fault", {"message": "the database does not answer"})


def _unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, params: Any) -> None:
    log.error("%s %s failed", req.method, req.path, exc_info=error)
    envelope.failure(req, resp, 500, "internal_error", {"message": "internal error"})
