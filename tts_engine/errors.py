"""Every error that a caller may see, and the HTTP status that each one means.

OrpheusError                    500  ours: something here is broken
├── SettingsError                    a setting has a bad value; stops the start
├── CodecError                  500  the SNAC weights or a decode failed
├── RequestError                400  the caller's: a bad value in the request
│   ├── AuthenticationError     401
│   ├── ForbiddenError          403
│   ├── NotFoundError           404
│   ├── ConflictError           409
│   └── TooLargeError           413
├── UnavailableError            503  not now; carries Retry-After
│   ├── NotReadyError           503  something has to be configured or fetched first
│   └── OverloadedError         503  as many requests as the plan admits are speaking
└── InferenceError              502  the inference server's: it refused, broke off or made no sense
    ├── InferenceUnavailable    503  it is loading or too busy; carries Retry-After
    └── InferenceTimeout        504  it was silent for ORPHEUS_API_TIMEOUT

Foreign exceptions become one of these where they enter (`raise ... from exc`); nothing else is raised across rooms.
"""

from typing import ClassVar


class OrpheusError(Exception):
    """An error with a message for people: what happened, with which value, and what to do next.

    param: name of the request field at fault. code: OpenAI's machine-readable code.
    log_message: the same for the log, where the message may quote what somebody wants to be said.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    retry_after_s: int | None = None

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, log_message: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.log_message = log_message or message
        self.param = param
        self.code = code


class SettingsError(OrpheusError):
    """A setting cannot be used: the message names the setting and the value."""


class CodecError(OrpheusError):
    """SNAC weights are unusable, or a decode failed."""


class RequestError(OrpheusError):
    """The request asks for something that cannot be done; asking again will not help."""

    status = 400
    type = "invalid_request_error"


class AuthenticationError(RequestError):
    """The access key is missing or wrong."""

    status = 401
    type = "authentication_error"


class ForbiddenError(RequestError):
    """Whoever asks may not do this from where they are."""

    status = 403
    type = "permission_error"


class NotFoundError(RequestError):
    """There is no such thing under this name."""

    status = 404


class ConflictError(RequestError):
    """The thing is in a state in which this cannot be done."""

    status = 409


class TooLargeError(RequestError):
    """The body is larger than this server reads."""

    status = 413


class UnavailableError(OrpheusError):
    """Not possible at the moment; asking again after `retry_after_s` seconds may help."""

    status = 503
    type = "unavailable_error"
    retry_after_s = 1


class NotReadyError(UnavailableError):
    """Something that speech needs is not configured, not fetched or not loaded yet."""

    retry_after_s = 10


class OverloadedError(UnavailableError):
    """All places to speak and to wait are taken."""


class InferenceError(OrpheusError):
    """The inference server refused the request, broke off its answer, or answered something that is no speech."""

    status = 502
    type = "inference_server_error"


class InferenceUnavailable(InferenceError):
    """The inference server is loading its model or has no room."""

    status = 503
    retry_after_s = 5


class InferenceTimeout(InferenceError):
    """The inference server was silent for longer than ORPHEUS_API_TIMEOUT."""

    status = 504
