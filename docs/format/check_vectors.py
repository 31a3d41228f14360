#!/usr/bin/env python3
"""Checks the published vectors with an implementation of its own, written from the documents
beside it. Needs the package `cryptography` (Debian: python3-cryptography; elsewhere: pip install
cryptography).
"""

import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

VECTORS = pathlib.Path(__file__).resolve().parent / "vectors"
HEADER_BYTES, TAG_BYTES, CHUNK_BYTES = 86, 16, 65536


class Refused(Exception):
    """It does not open, and should not."""


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def expand(prk, info, length):
    return HKDFExpand(SHA256(), length, info).derive(prk)


def decrypt(key, nonce, ciphertext, aad, cipher=AESGCM):
    try:
        return cipher(key).decrypt(nonce, ciphertext, aad)
    except InvalidTag:
        raise Refused("authentication failed") from None


def canonical(context):
    out = struct.pack(">I", len(context))
    pairs = [(name.encode(), value.encode()) for name, value in context.items()]
    for part in (part for pair in sorted(pairs) for part in pair):
        out += struct.pack(">I", len(part)) + part
    return out


def message_prk(suite, material, salt):
    if suite in (1, 3):
        return mac(salt, material)
    if suite == 2:
        return mac(material, b"conclave/1/hsm-prk" + salt)
    raise Refused("unknown suite")


def message_aad(header, context, aad):
    fields = [header, hashlib.sha256(canonical(context)).digest(), aad]
    return b"".join(struct.pack(">Q", len(field)) + field for field in fields)


def open_message(material, context, aad, blob, check_commitment=True):
    if len(blob) < HEADER_BYTES + TAG_BYTES or blob[0] != 1 or blob[18:22] == bytes(4):
        raise Refused("not a message")
    prk = message_prk(blob[1], material, blob[22:54])
    derived = expand(prk, b"conclave/1/encrypt" + blob[1:22], 76)
    key, nonce, commitment = derived[:32], derived[32:44], derived[44:]
    if check_commitment and not hmac.compare_digest(commitment, blob[54:86]):
        raise Refused("another key")
    aad = message_aad(blob[:HEADER_BYTES], context, aad)
    cipher = ChaCha20Poly1305 if blob[1] == 3 else AESGCM
    return prk, decrypt(key, nonce, blob[HEADER_BYTES:], aad, cipher)


def check_message(vector):
    given = [bytes.fromhex(vector["material"]), vector["context"]]
    given += [bytes.fromhex(vector["aad"]), bytes.fromhex(vector["blob"])]
    try:
        prk, plaintext = open_message(*given)
    except Refused:
        assert not vector["opens"], f"{vector['name']}: must open"
        if "commitment of another key" in vector["name"]:
            open_message(*given, check_commitment=False)
        return
    assert vector["opens"], f"{vector['name']}: must not open"
    assert prk.hex() == vector["prk"], f"{vector['name']}: another prk"
    assert plaintext.hex() == vector["plaintext"], f"{vector['name']}: another plaintext"


def stream_header(wrapped, salt):
    return b"CONCLAVE\x01" + struct.pack(">I", len(wrapped)) + wrapped + salt


def stream_key(data_key, header, salt):
    prk = mac(salt, data_key)
    return expand(prk, b"conclave/1/stream" + hashlib.sha256(header).digest(), 32)


def stream_nonce(number, last):
    return bytes(3) + struct.pack(">QB", number, last)


def open_chunks(key, chunks):
    if not chunks:
        raise Refused("no last chunk")
    last = len(chunks) - 1
    parts = [decrypt(key, stream_nonce(i, i == last), c, b"") for i, c in enumerate(chunks)]
    return b"".join(parts)


def check_stream(vector):
    name, salt = vector["name"], bytes.fromhex(vector["salt"])
    header = stream_header(bytes.fromhex(vector["wrapped_data_key"]), salt)
    key = stream_key(bytes.fromhex(vector["data_key"]), header, salt)
    plaintext = bytes(i % 251 for i in range(vector["plaintext_bytes"]))
    plain = [plaintext[i : i + CHUNK_BYTES] for i in range(0, len(plaintext), CHUNK_BYTES)] or [b""]
    last = len(plain) - 1
    chunks = [AESGCM(key).encrypt(stream_nonce(i, i == last), p, b"") for i, p in enumerate(plain)]
    stream = header + b"".join(chunks)
    assert len(stream) == vector["stream_bytes"], f"{name}: another length"
    assert hashlib.sha256(stream).hexdigest() == vector["stream_sha256"], f"{name}: another stream"
    assert vector.get("stream", stream.hex()) == stream.hex(), f"{name}: another stream"
    assert open_chunks(key, chunks) == plaintext, f"{name}: another plaintext"
    for order in vector["broken_orders"]:
        try:
            open_chunks(key, [chunks[i] for i in order])
        except Refused:
            continue
        raise AssertionError(f"{name}: must not open in the order {order}")


def main():
    messages = json.loads((VECTORS / "message-v1.json").read_text(encoding="utf-8"))["vectors"]
    streams = json.loads((VECTORS / "stream-v1.json").read_text(encoding="utf-8"))["vectors"]
    for vector in messages:
        check_message(vector)
    for vector in streams:
        check_stream(vector)
    print(f"{len(messages)} message vectors and {len(streams)} stream vectors agree")


if __name__ == "__main__":
    main()
