"""What a service may do, and how much of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from voxedge.errors import UsageError
from voxedge.isolation.decoders import MEMORY, SECONDS

API_KEY_VARIABLE = "VOXEDGE_API_KEY"


@dataclass(frozen=True)
class Settings:
    """The limits of a service.

    Args:
        api_key: that every request must carry; empty: none, and only this machine may ask.
        batch_size: windows computed together.
        wait: seconds that a window waits for others, if other clips are being decoded.
        queue: requests that are worked on or waited for; further ones are refused with 503.
        max_bytes: of a request.
        max_seconds: of a clip that are used.
        upload_seconds: that a request's body may take to arrive.
        decoders: processes that decode.
        decode_seconds: after which a process is stopped that has sent nothing.
        memory: bytes of address space of such a process.
    """

    api_key: str = ""
    batch_size: int = 8
    wait: float = 0.005
    queue: int = 64
    max_bytes: int = 32 << 20
    max_seconds: float = 3_600.0
    upload_seconds: float = 60.0
    decoders: int = 2
    decode_seconds: float = SECONDS
    memory: int = MEMORY

    def __post_init__(self) -> None:
        for name in ("batch_size", "queue", "max_bytes", "decoders", "memory"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address that a service listens on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def require_key(host: str, settings: Settings) -> None:
    """Refuse to answer other machines without a key.

    Raises:
        UsageError: the address is reached from elsewhere, and there is no key.
    """
    if not settings.api_key and not is_loopback(host):
        raise UsageError(
            f"{host} is reached from other machines, and there is no key to keep strangers out",
            f"set {API_KEY_VARIABLE}, or --api-key-file; or stay on --host 127.0.0.1",
        )
