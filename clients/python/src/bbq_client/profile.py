"""Profiles: where the server is and how to prove who is asking.

It decides where a profile is looked for and what makes one valid. It never opens a connection.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from .errors import ProfileError

PROFILE_PATH = Path("bbq-data/client.toml")
PROFILE_VARIABLE = "BBQ_PROFILE"
PORT = 6789


@dataclass(frozen=True)
class Profile:
    """How to reach a server. The fields are the keys of `client.toml`.

    `url` is https://host:port, or http://127.0.0.1:port for HTTP/2 without TLS on loopback. `ca`, `client_certificate` and
    `client_key` are paths or the PEM text itself. `transport` is auto (HTTP/3, or HTTP/2 where UDP does not get through),
    http3 or http2.
    """

    url: str
    ca: str | None = None
    token: str | None = field(default=None, repr=False)
    client_certificate: str | None = None
    client_key: str | None = field(default=None, repr=False)
    transport: str = "auto"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ProfileError(f"url is {self.url!r}; this client needs https://host:port or http://127.0.0.1:port")
        if self.transport not in ("auto", "http3", "http2"):
            raise ProfileError(f"transport is {self.transport!r}; it may be auto, http3 or http2")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ProfileError(f"{self.url} would send everything in the clear: use https, http is for loopback")
        if parts.scheme == "http" and self.transport == "http3":
            raise ProfileError(f"{self.url} cannot speak HTTP/3, which needs https")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or PORT

    @property
    def secure(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def address(self) -> str:
        """The URL with its port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{urlsplit(self.url).scheme}://{host}:{self.port}"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Profile:
        """Reads a profile from a TOML file; paths in it are relative to the file."""
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ProfileError(
                f"cannot read the profile {path}: {error}; `bbq serve` writes one into its data directory"
            ) from error
        except ValueError as error:
            raise ProfileError(f"{path}: {error}") from error
        known = {field.name for field in fields(cls)}
        if wrong := [key for key, value in values.items() if key not in known or not isinstance(value, str)]:
            raise ProfileError(f"{path}: {', '.join(wrong)}: not a key of a profile, or not a text")
        if "url" not in values:
            raise ProfileError(f"{path}: url is missing")
        for key in ("ca", "client_certificate", "client_key"):
            if key in values and "-----BEGIN" not in values[key]:
                values[key] = str(path.parent / values[key])
        return cls(**values)

    @classmethod
    def find(cls, explicit: str | os.PathLike[str] | None = None) -> Profile:
        """Loads the profile at `explicit`, else the one that BBQ_PROFILE names, else ./bbq-data/client.toml."""
        if path := explicit or os.environ.get(PROFILE_VARIABLE):
            return cls.load(path)
        if not PROFILE_PATH.exists():
            raise ProfileError(
                f"there is no profile at ./{PROFILE_PATH}; start a server here with `bbq serve`, or name a profile "
                f"with {PROFILE_VARIABLE}"
            )
        return cls.load(PROFILE_PATH)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def pem(text: str | None, key: str) -> bytes | None:
    """The PEM text that a profile has, or has the path of."""
    if text is None or "-----BEGIN" in text:
        return None if text is None else text.encode()
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise ProfileError(f"cannot read `{key}` of the profile, {text}: {error}") from error
