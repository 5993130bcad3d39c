"""Keys of sites that embed the API: `Authorization: Bearer <secret>` on a request."""

import hashlib
import hmac
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from app.api.answering import answer_headers
from app.api.clients import Client, address_of, counted_address
from app.api.settings import Key, Keys
from app.process.settings import SettingsError
from app.wire.problems import Code, Refused

_log = logging.getLogger(__name__)

KEYS: TypeAdapter[tuple[Key, ...]] = TypeAdapter(Keys)
"""What the file holds, as JSON."""
_SCHEME = "bearer"
_LONGEST_SECRET = 128


class KeyRing:
    """The keys in a file. It is read again when it has changed; one that can't be read leaves the former keys in force.

    Raises:
        SettingsError: the file can't be read at the start.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen: tuple[int, ...] | None = None
        self._keys: tuple[Key, ...] = ()
        if file is not None:
            try:
                self._read(file)
            except (OSError, ValidationError) as error:
                raise SettingsError(f"API_KEYS_FILE is wrong: {file} holds no keys: {error}") from None

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys as the file has them now."""
        if self._file is not None:
            try:
                self._read(self._file)
            except (OSError, ValidationError) as error:
                # Also for a moment while the file is being replaced.
                _log.warning("the keys could not be read, and stay as they were: %s", type(error).__name__)
        return self._keys

    def allows(self, origin: str) -> bool:
        """Whether a key's pages have this origin."""
        return any(origin in key.origins for key in self.keys)

    def client(self, connection: HTTPConnection) -> Client:
        """Who sends this request; `Refused` when it gives a key that is unknown or not for its origin."""
        address, headers = counted_address(address_of(connection)), answer_headers(connection)
        scheme, _, secret = ",".join(connection.headers.getlist("Authorization")).partition(" ")
        if scheme.lower() != _SCHEME:
            return Client(address, None, headers)
        key = self._of(secret.strip())
        if key is None:
            raise Refused(Code.UNKNOWN_KEY, "The key in the Authorization header is not one of this platform's.")
        origin = connection.headers.get("Origin")
        if key.origins and origin not in key.origins:
            whence = "a request without an Origin" if origin is None else f"pages of {origin}"
            raise Refused(Code.ORIGIN_NOT_ALLOWED, f"The key {key.name} is not for {whence}.")
        if not key.origins and origin is not None:
            raise Refused(Code.ORIGIN_NOT_ALLOWED, f"The key {key.name} is a secret of servers, and not for pages.")
        return Client(address, key, headers)

    def _of(self, secret: str) -> Key | None:
        """The key with this secret. Each hash is compared, in constant time, so the time tells nothing about them."""
        if len(secret) > _LONGEST_SECRET:
            return None
        digest = hashlib.sha256(secret.encode()).digest()
        found = None
        for key in self.keys:
            for known in key.digests:
                if hmac.compare_digest(digest, known):
                    found = key
        return found

    def _read(self, file: Path) -> None:
        status = file.stat()
        # Not the time of its last change alone: two contents may be written within one tick of that clock.
        seen = (status.st_ino, status.st_size, status.st_ctime_ns)
        if seen != self._seen:
            self._keys = KEYS.validate_json(file.read_bytes())
            self._seen = seen


class Cors(CORSMiddleware):
    """CORS for the origins that are allowed at each request: the keys' change."""

    def __init__(
        self,
        app: ASGIApp,
        allowed: Callable[[str], bool],
        methods: Sequence[str],
        headers: Sequence[str],
        readable: Sequence[str],
    ) -> None:
        super().__init__(app, allow_methods=methods, allow_headers=headers, expose_headers=readable)
        self._allowed = allowed

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether pages of this origin may read answers."""
        return self._allowed(origin)
