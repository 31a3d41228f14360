"""Verifies a certificate of destruction without any code of the cluster's: RFC 6962, C2SP signed-note and tlog-proof, and
Python's `cryptography` for the signature.

    verify.py FILE VERIFIER_KEY

Prints, for each proof, the number of its record, that of records in the log, and the record in hexadecimal.
"""

import base64
import hashlib
import re
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root(leaf, index, size, path):
    """RFC 6962 section 2.1.1, by its own recursion."""
    if size == 1:
        assert not path, "a hash too many"
        return leaf
    split = 1 << ((size - 1).bit_length() - 1)
    *below, sibling = path
    if index < split:
        return sha256(b"\1", root(leaf, index, split, below), sibling)
    return sha256(b"\1", sibling, root(leaf, index - split, size - split, below))


def checkpoint(note, verifier):
    name, key_id, key = verifier.split("+", 2)
    key = base64.b64decode(key)
    assert key[0] == 1 and sha256(name.encode(), b"\n", key)[:4].hex() == key_id
    text, signature = note.split("\n\n")
    encoded = re.fullmatch(f"\u2014 {re.escape(name)} (\\S+)\n", signature).group(1)
    signed = base64.b64decode(encoded)
    assert signed[:4].hex() == key_id
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(signed[4:], f"{text}\n".encode())
    origin, size, hash_ = text.split("\n")
    assert origin == name
    return int(size), base64.b64decode(hash_)


def main(file, verifier):
    proofs = re.split("(?:^|\n)c2sp.org/tlog-proof@v1\n", Path(file).read_text())
    assert proofs[0] == "" and len(proofs) > 1, "no proofs"
    for proof in proofs[1:]:
        head, note = proof.split("\n\n", 1)
        extra, index, *path = head.split("\n")
        leaf = base64.b64decode(extra.removeprefix("extra "), validate=True)
        index = int(index.removeprefix("index "))
        size, expected = checkpoint(note, verifier)
        assert index < size
        path = [base64.b64decode(line, validate=True) for line in path]
        assert root(sha256(b"\0", leaf), index, size, path) == expected, f"record {index}"
        print(index, size, leaf.hex())


main(*sys.argv[1:])
