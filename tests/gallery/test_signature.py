"""Signed galleries: opened by the right key alone, and only as they were signed."""

from __future__ import annotations

import base64
import hashlib
import subprocess

import numpy as np
import pytest

from voxedge.errors import GalleryError, MissingExtra, SignatureRefused, UsageError
from voxedge.gallery import file
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.gallery.report import export
from voxedge.gallery.signature import signer

pytest.importorskip("cryptography", reason="signed galleries need cryptography")

MODEL = GalleryModel("a" * 64, "net.onnx", "", 16_000, 2)
ROW = np.array([0.6, 0.8], np.float32)
ADA = EnrolledClip("a.wav", 2.0, 1.0, ROW, np.arange(50, dtype=np.int16))
CONTENTS = Contents(MODEL, (Person("ada", (ADA,)),))


def write_keys(folder, name):
    """A pair of keys as openssl writes them: the files of the private and the public one."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture
def keys(tmp_path):
    return write_keys(tmp_path, "own")


@pytest.fixture
def signed(tmp_path, keys):
    path = tmp_path / "fleet.vxg"
    export(CONTENTS, path, keys[0])
    return path


def test_a_signed_gallery_opens_with_and_without_the_key(signed, keys):
    found = file.read(signed, keys[1])
    assert found == file.read(signed) == CONTENTS.without_samples()
    assert found.people[0].clips[0].samples is None
    assert Gallery(signed, trust=keys[1]).names == ("ada",)


def test_what_is_signed_is_the_beginning_of_the_first_line(signed, keys):
    """RFC 8032 over ``voxedge-gallery 1 SHA256``, so that openssl can check it as well."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    line, rest = signed.read_bytes().split(b"\n", 1)
    message, _, signature = line.rpartition(b" ")
    assert message == f"voxedge-gallery 1 {hashlib.sha256(rest).hexdigest()}".encode()
    load_pem_public_key(keys[1].read_bytes()).verify(base64.b64decode(signature), message)


def test_every_changed_byte_is_refused(signed, keys):
    whole = signed.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        with pytest.raises(GalleryError):
            file.decode(bytes(damaged), trust=keys[1])


def test_a_right_checksum_does_not_help(signed, keys):
    """Someone who changes a name can compute the checksum, and not the signature."""
    line, rest = signed.read_bytes().split(b"\n", 1)
    other = rest.replace(b'"ada"', b'"eve"')
    words = line.split()
    words[2] = hashlib.sha256(other).hexdigest().encode()
    forged = b" ".join(words) + b"\n" + other
    assert file.decode(forged).names == ("eve",)
    with pytest.raises(SignatureRefused, match=r"signature of the gallery is not by own\.pub"):
        file.decode(forged, trust=keys[1])


def test_another_key_and_no_signature_are_refused(signed, keys, tmp_path):
    _, public = write_keys(tmp_path, "other")
    with pytest.raises(SignatureRefused, match=r"fleet\.vxg is not by other\.pub"):
        file.read(signed, public)
    file.write(signed, CONTENTS)
    with pytest.raises(SignatureRefused, match=r"fleet\.vxg is not signed") as caught:
        file.read(signed, keys[1])
    assert caught.value.exit_code == 4
    assert "--sign" in caught.value.hint


def test_a_trusted_gallery_is_not_changed(signed, keys):
    before = signed.read_bytes()
    with pytest.raises(UsageError, match="take the signature off"):
        Gallery(signed, trust=keys[1]).remove("ada")
    assert signed.read_bytes() == before
    Gallery(signed).rename("ada", "eve")
    with pytest.raises(SignatureRefused, match="is not signed"):
        file.read(signed, keys[1])


def test_keys_that_are_none(keys, tmp_path):
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = keys
    other = tmp_path / "p256.pem"
    kind = form.Encoding.PEM, form.PrivateFormat.PKCS8
    other.write_bytes(generate_private_key(SECP256R1()).private_bytes(*kind, form.NoEncryption()))
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(*kind, form.BestAvailableEncryption(b"x"))
    )
    for key, problem in (
        (public, "is no private key"),
        (other, "of another kind"),
        (locked, "is encrypted"),
        (tmp_path / "none.pem", "cannot be read"),
    ):
        with pytest.raises(UsageError, match=problem):
            signer(key)
    for key, problem in ((private, "is no public key"), (tmp_path, "cannot be read")):
        with pytest.raises(UsageError, match=problem):
            file.decode(file.encode(CONTENTS), trust=key)


def test_only_galleries_are_signed(keys, tmp_path):
    with pytest.raises(UsageError, match="only a gallery is signed"):
        export(CONTENTS, tmp_path / "people.json", keys[0])


def test_without_cryptography_the_extra_is_named(signed, keys, monkeypatch):
    for name in ("exceptions", "hazmat.primitives.asymmetric.ed25519"):
        monkeypatch.setitem(__import__("sys").modules, f"cryptography.{name}", None)
    with pytest.raises(MissingExtra) as caught:
        file.read(signed, keys[1])
    assert "[sign]" in caught.value.hint
    assert file.read(signed).names == ("ada",)


def test_keys_of_openssl(tmp_path):
    """The two lines of docs/enroll.md."""
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    try:
        for line in (
            ["genpkey", "-algorithm", "ed25519", "-out", private],
            ["pkey", "-in", private, "-pubout", "-out", public],
        ):
            subprocess.run(["openssl", *line], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl that makes Ed25519 keys")
    export(CONTENTS, tmp_path / "fleet.vxg", private)
    assert file.read(tmp_path / "fleet.vxg", public).names == ("ada",)
