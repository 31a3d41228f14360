"""Wraps keys for a cluster and unwraps keys of one, as others do it: with Python's `cryptography`.

    transport.py wrap PUBLIC_PEM MATERIAL OUT [HASH]
    transport.py unwrap PRIVATE_PEM WRAPPED OUT
    transport.py make PRIVATE_PEM PUBLIC_PEM SIGNING_DER SIGNING_PUBLIC_PEM
    transport.py kinds DIRECTORY
"""

import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}
SPKI = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def oaep(name):
    return padding.OAEP(mgf=padding.MGF1(HASHES[name]), algorithm=HASHES[name], label=None)


def wrap(public, material, out, name="sha256"):
    key = serialization.load_pem_public_key(Path(public).read_bytes())
    ephemeral = os.urandom(32)
    wrapped = keywrap.aes_key_wrap_with_padding(ephemeral, Path(material).read_bytes())
    Path(out).write_bytes(key.encrypt(ephemeral, oaep(name)) + wrapped)


def unwrap(private, wrapped, out):
    key = serialization.load_pem_private_key(Path(private).read_bytes(), None)
    bytes_ = Path(wrapped).read_bytes()
    size = key.key_size // 8
    ephemeral = key.decrypt(bytes_[:size], oaep("sha256"))
    Path(out).write_bytes(keywrap.aes_key_unwrap_with_padding(ephemeral, bytes_[size:]))


def make(private, public, signing, signing_public):
    pkcs8 = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key = rsa.generate_private_key(65537, 3072)
    Path(private).write_bytes(key.private_bytes(serialization.Encoding.PEM, *pkcs8))
    Path(public).write_bytes(key.public_key().public_bytes(*SPKI))
    key = ec.generate_private_key(ec.SECP256R1())
    Path(signing).write_bytes(key.private_bytes(serialization.Encoding.DER, *pkcs8))
    Path(signing_public).write_bytes(key.public_key().public_bytes(*SPKI))


def kinds(directory):
    """A private key of each kind, and its public half; with names that say what they are."""
    keys = {
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "k256": ec.generate_private_key(ec.SECP256K1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "rsa-of-three": rsa.generate_private_key(3, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    pkcs8 = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, key in keys.items():
        path = Path(directory) / name
        path.write_bytes(key.private_bytes(serialization.Encoding.DER, *pkcs8))
        path.with_name(name + ".pub").write_bytes(key.public_key().public_bytes(*SPKI))


{"wrap": wrap, "unwrap": unwrap, "make": make, "kinds": kinds}[sys.argv[1]](*sys.argv[2:])
