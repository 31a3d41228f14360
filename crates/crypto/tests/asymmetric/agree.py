"""Answers one question in JSON with Python's `cryptography`; null if it is too old for it."""

import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization


def spki(public):
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ).hex()


def ml_dsa_65(question):
    from cryptography.hazmat.primitives.asymmetric import mldsa

    private = mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes.fromhex(question["seed"]))
    public = private.public_key()
    message = bytes.fromhex(question["message"])
    try:
        public.verify(bytes.fromhex(question["signature"]), message)
        verifies = True
    except InvalidSignature:
        verifies = False
    return {
        "verifies": verifies,
        "spki": spki(public),
        "signature": private.sign(message).hex(),
    }


def ml_kem_768(question):
    from cryptography.hazmat.primitives.asymmetric import mlkem

    private = mlkem.MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(question["seed"]))
    public = private.public_key()
    secret, ciphertext = public.encapsulate()
    return {
        "opened": private.decapsulate(bytes.fromhex(question["ciphertext"])).hex(),
        "spki": spki(public),
        "secret": secret.hex(),
        "ciphertext": ciphertext.hex(),
    }


ABOUT = {"ml-dsa-65": ml_dsa_65, "ml-kem-768": ml_kem_768}

question = json.load(sys.stdin)
try:
    answer = ABOUT[question["about"]](question)
except ImportError:
    answer = None
json.dump(answer, sys.stdout)
