"""Errors as the service tells them: typed JSON problems (RFC 9457), never a stack trace."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from expclip.errors import BadRequestError

KINDS: dict[str, tuple[int, str, int]] = {
    "bad-request": (400, "The request cannot be understood", 1008),
    "no-key": (401, "An API key is needed", 1008),
    "not-found": (404, "There is no such thing", 1008),
    "method-not-allowed": (405, "There is no such method here", 1008),
    "not-acceptable": (406, "None of the formats asked for exists", 1008),
    "too-large": (413, "The request is too large", 1009),
    "too-long": (413, "The sound is too long", 1009),
    "idle": (408, "Nothing was said for too long", 1008),
    "slow-reader": (408, "Frames were not read", 1008),
    "too-many": (429, "Too many requests", 1013),
    "overloaded": (503, "The service is busy", 1013),
    "timeout": (503, "The request took too long", 1013),
    "stopping": (503, "The service stops here and goes on elsewhere", 1012),
    "internal-error": (500, "Something went wrong", 1011),
}
"""Kind -> status, title, and the code with which a stream is closed."""
_BY_STATUS = {404: "not-found", 405: "method-not-allowed", 401: "no-key", 413: "too-large"}
_LOG = logging.getLogger("expclip.serve")


class Problem(Exception):
    """Why a request or a stream is refused."""

    def __init__(self, kind: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.retry_after = kind, detail, retry_after
        self.status, self.title, self.close_code = KINDS[kind]

    def body(self, request_id: str = "") -> dict[str, Any]:
        """Return the problem's members."""
        body = {"type": f"urn:expclip:{self.kind}", "title": self.title, "status": self.status, "detail": self.detail}
        if request_id:
            body["instance"] = f"urn:request:{request_id}"
        return body

    def response(self, request_id: str = "") -> JSONResponse:
        """Return it as an answer."""
        headers: dict[str, str] = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(request_id), self.status, headers=headers, media_type="application/problem+json")


def as_problem(error: Exception) -> Problem:
    """Return what an exception of any kind is to the caller; what nobody foresaw goes to the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, BadRequestError):
        return Problem("bad-request", str(error))
    if isinstance(error, RequestValidationError):
        first: Mapping[str, Any] = next(iter(error.errors()), {})
        where = ".".join(str(part) for part in first.get("loc", ()))
        return Problem("bad-request", f"{where}: {first.get('msg', 'not valid')}")
    if isinstance(error, HTTPException):
        kind = _BY_STATUS.get(error.status_code, "bad-request" if error.status_code < 500 else "internal-error")
        return Problem(kind, str(error.detail))
    _LOG.error("unforeseen", exc_info=error)
    return Problem("internal-error", "the service's log says more")


def install(app: FastAPI) -> None:
    """Have every error of an application told as a problem."""

    async def tell(request: Request, error: Exception) -> JSONResponse:
        request.state.problem = problem = as_problem(error)
        return problem.response(getattr(request.state, "request_id", ""))

    for kind in (Problem, BadRequestError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, tell)
