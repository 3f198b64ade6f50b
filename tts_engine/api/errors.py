"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}, always all four keys."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tts_engine.errors import OrpheusError

logger = logging.getLogger(__name__)

_CODES = {400: None, 404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}


def error_body(message: str, *, error_type: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": error_type, "param": param, "code": code}}


def error_response(exc: OrpheusError) -> JSONResponse:
    """An error of ours as a response. 5xx that would only repeat themselves tell OpenAI's clients not to try again."""
    headers = {}
    if exc.retry_after_s is not None:
        headers["Retry-After"] = str(exc.retry_after_s)
    elif exc.status >= 500:
        headers["x-should-retry"] = "false"
    body = error_body(exc.message, error_type=exc.type, param=exc.param, code=exc.code)
    return JSONResponse(body, status_code=exc.status, headers=headers)


def install(app: FastAPI) -> None:
    """Have every error of the app answered in this shape."""
    app.add_exception_handler(OrpheusError, _orpheus)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


async def _orpheus(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, OrpheusError)
    if exc.status >= 500:
        logger.warning("%s %s: %s %s", request.method, request.url.path, exc.status, exc.log_message)
    return error_response(exc)


async def _validation(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    first = exc.errors()[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    param = where[0] if where else None
    if first["type"] == "json_invalid":
        message, param, code = "The body is not valid JSON.", None, "invalid_json"
    elif not where:
        message, code = "The body must be a JSON object, sent as Content-Type: application/json.", "invalid_type"
    elif first["type"] == "missing":
        message, code = f"Missing required parameter: {param!r}.", "missing_required_parameter"
    else:
        message, code = f"Invalid value for {'.'.join(where)!r}: {first['msg']}.", "invalid_value"
    body = error_body(message, error_type="invalid_request_error", param=param, code=code)
    return JSONResponse(body, status_code=400)


async def _http(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    status = 400 if exc.status_code == 422 else exc.status_code
    message = exc.detail
    if status == 404:
        message = f"There is nothing at {request.method} {request.url.path}."
    elif status == 405:
        message = f"{request.method} does not work on {request.url.path}."
    error_type = "server_error" if status >= 500 else "invalid_request_error"
    code = _CODES.get(status, HTTPStatus(status).name.lower())
    return JSONResponse(error_body(message, error_type=error_type, code=code), status, headers=exc.headers)
