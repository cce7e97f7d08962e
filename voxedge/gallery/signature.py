"""Signatures of galleries: Ed25519 (RFC 8032), by the ``cryptography`` package.

A device that is given the public key opens no gallery that the holder of the private one has not
signed. Keys are PEM files, as ``openssl genpkey -algorithm ed25519`` makes them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from voxedge.errors import SignatureRefused, UsageError
from voxedge.install import needs_extra

#: Gives the signature of a message, in base64.
Sign: TypeAlias = Callable[[bytes], str]

LENGTH = 88  # characters of a signature in base64
_MAKE = "openssl genpkey -algorithm ed25519 -out key.pem"
_MAKE_PUBLIC = "openssl pkey -in key.pem -pubout -out public.pem"


def signer(key: Path) -> Sign:
    """What signs with a private key.

    Raises:
        UsageError: the file cannot be read, or holds no private Ed25519 key without a password.
        MissingExtra: ``cryptography`` is not installed.
    """
    with needs_extra("sign"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    data = _read(key)
    try:
        private = load_pem_private_key(data, None)
    except TypeError:
        raise UsageError(
            f"{key} is encrypted", f"openssl pkey -in {key} -out plain.pem takes the password off"
        ) from None
    except ValueError:
        raise UsageError(f"{key} is no private key in PEM", _MAKE) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{key} is a private key of another kind than Ed25519", _MAKE)
    return lambda message: base64.b64encode(private.sign(message)).decode()


def verify(key: Path, message: bytes, signature: str | None, name: str) -> None:
    """Refuse a gallery that is not signed with the private key of a public one.

    Args:
        key: the public key's file.
        message: what is signed.
        signature: in base64; None: there is none.
        name: of the gallery, for people.

    Raises:
        SignatureRefused: there is no signature, or it is of another key or another gallery.
        UsageError: the file cannot be read, or holds no public Ed25519 key.
        MissingExtra: ``cryptography`` is not installed.
    """
    with needs_extra("sign"):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    data = _read(key)
    try:
        public = load_pem_public_key(data)
    except ValueError:
        raise UsageError(f"{key} is no public key in PEM", _MAKE_PUBLIC) from None
    if not isinstance(public, Ed25519PublicKey):
        raise UsageError(f"{key} is a public key of another kind than Ed25519", _MAKE_PUBLIC)
    if signature is None:
        raise SignatureRefused(
            f"{name} is not signed", "voxedge gallery export OUT.vxg --sign KEY signs one"
        )
    try:
        public.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError):
        raise SignatureRefused(
            f"the signature of {name} is not by {key.name}",
            "another key has signed it, or it was changed: get the gallery again",
        ) from None


def _read(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise UsageError(f"the key {key} cannot be read: {error.strerror}") from None
