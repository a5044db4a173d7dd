"""A self-signed certificate for loopback, made with nothing but Python."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import secrets
import textwrap
from pathlib import Path
from typing import Final, TypeAlias

Point: TypeAlias = "tuple[int, int] | None"

# The curve P-256 (FIPS 186-4, D.1.2.3).
_P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G: Final = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# Object identifiers, as they are encoded: the curve, its keys, signatures with it, and names.
_CURVE: Final = bytes.fromhex("06082a8648ce3d030107")
_KEY: Final = bytes.fromhex("06072a8648ce3d0201")
_SIGNED: Final = bytes.fromhex("300a06082a8648ce3d040302")
_COMMON_NAME: Final = bytes.fromhex("0603550403")
_OTHER_NAMES: Final = bytes.fromhex("0603551d11")
_SEQUENCE: Final = 0x30
# From this size on, the length has a length of its own (X.690, 8.1.3.5).
_LONG_FORM: Final = 0x80


def make(folder: Path) -> tuple[Path, str]:
    """Make a key and its certificate for 127.0.0.1 in one file (PEM), valid for a day.

    Returns:
        The file, and the certificate's SHA-256 in hexadecimal.
    """
    secret = secrets.randbelow(_N - 1) + 1
    x, y = _times(secret, _G) or (0, 0)
    public = b"\x04" + _bytes(x) + _bytes(y)
    now = dt.datetime.now(dt.UTC)
    valid = [_der(0x17, f"{now + days:%y%m%d%H%M%SZ}".encode()) for days in (-_DAY, _DAY)]
    name = _list(_der(0x31, _list(_COMMON_NAME, _der(0x0C, b"127.0.0.1"))))
    address = _list(_der(0x87, bytes((127, 0, 0, 1))))
    told = _list(
        _der(0xA0, _number(2)),
        _number(secrets.randbits(62)),
        _SIGNED,
        name,
        _list(*valid),
        name,
        _list(_list(_KEY, _CURVE), _bits(public)),
        _der(0xA3, _list(_list(_OTHER_NAMES, _der(0x04, address)))),
    )
    certificate = _list(told, _SIGNED, _bits(_sign(secret, told)))
    key = _list(_number(1), _der(0x04, _bytes(secret)), _der(0xA0, _CURVE), _der(0xA1, _bits(public)))
    file = folder / "loopback.pem"
    file.write_text(_pem("EC PRIVATE KEY", key) + _pem("CERTIFICATE", certificate), encoding="ascii")
    return file, hashlib.sha256(certificate).hexdigest()


_DAY: Final = dt.timedelta(days=1)


def _sign(secret: int, text: bytes) -> bytes:
    digest = int.from_bytes(hashlib.sha256(text).digest(), "big")
    once = secrets.randbelow(_N - 1) + 1
    x, _ = _times(once, _G) or (0, 0)
    r = x % _N
    return _list(_number(r), _number(pow(once, -1, _N) * (digest + r * secret) % _N))


def _times(count: int, point: Point) -> Point:
    total: Point = None
    while count:
        if count & 1:
            total = _plus(total, point)
        point, count = _plus(point, point), count >> 1
    return total


def _plus(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    (x, y), (u, v) = one, other
    if x == u and (y + v) % _P == 0:
        return None
    # The curve's a is -3.
    slope = (3 * x * x - 3) * pow(2 * y, -1, _P) if one == other else (v - y) * pow(u - x, -1, _P)
    w = (slope * slope - x - u) % _P
    return w, (slope * (x - w) - y) % _P


def _bytes(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _der(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < _LONG_FORM:
        return bytes((tag, size)) + body
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")  # as few as will do: DER
    length = bytes((_LONG_FORM | len(octets),)) + octets
    return bytes((tag,)) + length + body


def _list(*parts: bytes) -> bytes:
    return _der(_SEQUENCE, b"".join(parts))


def _number(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _bits(body: bytes) -> bytes:
    return _der(0x03, b"\x00" + body)


def _pem(kind: str, body: bytes) -> str:
    text = "\n".join(textwrap.wrap(base64.b64encode(body).decode(), 64))
    return f"-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n"
