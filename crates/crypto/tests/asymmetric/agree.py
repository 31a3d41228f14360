"""Answers one question in JSON with Python's `cryptography`; null if it is too old for it."""

import json
import sys

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
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


def key_wrap(question):
    from cryptography.hazmat.primitives import hashes, keywrap
    from cryptography.hazmat.primitives.asymmetric import padding

    wrapping = serialization.load_der_private_key(bytes.fromhex(question["wrapping"]), None)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    kek = bytes.fromhex(question["kek"])
    material = bytes.fromhex(question["material"])
    wrapped = bytes.fromhex(question["wrapped"])
    modulus_bytes = wrapping.key_size // 8
    ephemeral = wrapping.decrypt(wrapped[:modulus_bytes], oaep)
    unwrapped = keywrap.aes_key_unwrap_with_padding(ephemeral, wrapped[modulus_bytes:])
    kwp = keywrap.aes_key_wrap_with_padding(kek, material)
    # RFC 5649, section 6.
    rfc_kek = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
    rfc_keys = ["c37b7e6492584340bed12207808941155068f738", "466f7250617369"]
    return {
        "rfc_5649": [
            keywrap.aes_key_wrap_with_padding(rfc_kek, bytes.fromhex(key)).hex()
            for key in rfc_keys
        ],
        "kwp": kwp.hex(),
        "unwrapped": unwrapped.hex(),
        "wrapped": (wrapping.public_key().encrypt(kek, oaep) + kwp).hex(),
    }


ABOUT = {"key-wrap": key_wrap, "ml-dsa-65": ml_dsa_65, "ml-kem-768": ml_kem_768}

question = json.load(sys.stdin)
try:
    answer = ABOUT[question["about"]](question)
except (ImportError, UnsupportedAlgorithm):
    answer = None
json.dump(answer, sys.stdout)
