"""The direction of imports, sizes of files, what the help may import, README's two commands."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch

from handvae.evaluation.pose import joint_errors

LEVELS = (
    {"errors", "words", "choices", "device", "files", "noise", "hand"},
    {"geometry"},
    {"rv"},
    {"render"},
    {"data"},
    {"nets", "losses"},
    {"systems"},
    {"training"},
    {"inference"},
    {"evaluation"},
    {"upsampling"},
    {"reproduction"},
    {"studio"},
    {"apps"},
)
"""A room imports from its own level and from those before it."""

SYSTEMS_SHARED = {
    "system",
    "spread",
    "pose_appearance",
    "keypoint_regression",
    "one_stage",
    "dvae",
    "dvae_generator",
    "sheet",
    "soft_intro_objective",
}
"""What the loop asks of a system, its spread's scale, networks that several share, how keypoints are taught,
systems of one stage, what dVAE's tasks share, Soft-Intro's objective."""

# --------------------------------------------------------------------------------------- direction of imports


def level(room: str) -> int | None:
    """Which level a room stands on; None for the package itself (its version)."""
    return next((number for number, rooms in enumerate(LEVELS) if room in rooms), None)


def imported(path: Path, package: Path) -> Iterator[str]:
    """Dotted names below the package that a module imports, those inside functions included."""
    inside = [package.name, *path.relative_to(package).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(inside[: len(inside) - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            names = [
                f"{module}.{alias.name}" for alias in node.names
            ]  # the alias may be a module: `from handvae import rv`
        else:
            continue
        yield from (
            name.removeprefix(f"{package.name}.") for name in names if name.startswith(f"{package.name}.")
        )


def wrong_arrows(package: Path) -> list[str]:
    """Imports that run against the direction, as `importer -> imported: why`."""
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        here = level(parts[0])
        if here is None:
            if parts != ("__init__",):
                found.append(f"{'.'.join(parts)}: stands on no level")
            continue
        for name in imported(path, package):
            target = name.split(".")
            there = level(target[0])
            arrow = f"{'.'.join(parts)} -> {name}"
            if parts[0] == "rv" and target[0] != "rv":
                found.append(f"{arrow}: rv is usable alone")
            elif there is not None and there > here:
                found.append(f"{arrow}: runs back")
            elif (
                parts[0] == target[0] == "systems"
                and parts[1] != "build"
                and target[1] not in SYSTEMS_SHARED | {parts[1]}
            ):
                found.append(f"{arrow}: one system knows another")
    return found


@pytest.fixture(scope="module")
def package(project: Path) -> Path:
    return project / "src" / "handvae"


def test_no_import_runs_back(package):
    assert wrong_arrows(package) == []


def test_the_check_saw_the_package(package):
    """A check that reads no imports finds no fault either."""
    seen = {
        (path.name, name.split(".")[0]) for path in package.rglob("*.py") for name in imported(path, package)
    }
    assert {
        ("detector.py", "nets"),
        ("cli.py", "errors"),
        ("decoder.py", "rv"),
        ("crop.py", "geometry"),
    } <= seen


GOOD_TREE = {
    "__init__.py": "",
    "errors.py": "",
    "hand.py": "from handvae.errors import UserError",
    "rv/variable.py": "import torch",
    "data/crop.py": "from handvae.hand import RIGHT",
    "nets/decoder.py": "from handvae import rv",
    "systems/system.py": "",
    "systems/one.py": "from handvae.systems.system import Phase\nfrom handvae.nets.decoder import "
    "ImageDecoder",
    "systems/two.py": "",
    "systems/build.py": "from handvae.systems.one import One\nfrom handvae.systems import two",
    "training/loop.py": "import handvae\nimport handvae.data.crop",
    "apps/cli.py": "from handvae.training.loop import fit",
}


def plant(folder: Path, tree: dict[str, str]) -> Path:
    package = folder / "handvae"
    for name, source in tree.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(source)
    return package


def test_a_tree_whose_arrows_run_forward_passes(tmp_path):
    assert wrong_arrows(plant(tmp_path, GOOD_TREE)) == []


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("data/crop.py", "from handvae.systems.one import One", "data.crop -> systems.one.One: runs back"),
        ("hand.py", "from handvae import data", "hand -> data: runs back"),
        (
            "nets/decoder.py",
            "def late():\n    import handvae.training.loop",
            "nets.decoder -> training.loop: runs back",
        ),
        ("data/crop.py", "from ..apps import cli", "data.crop -> apps.cli: runs back"),
        ("rv/variable.py", "from handvae.hand import BONES", "rv.variable -> hand.BONES: rv is usable alone"),
        (
            "systems/one.py",
            "from handvae.systems.two import Two",
            "systems.one -> systems.two.Two: one system knows another",
        ),
        ("helpers.py", "", "helpers: stands on no level"),
    ],
    ids=["from", "package", "inside a function", "relative", "rv", "system", "no level"],
)
def test_an_arrow_turned_round_is_found(tmp_path, name, source, complaint):
    assert wrong_arrows(plant(tmp_path, GOOD_TREE | {name: source})) == [complaint]


# ------------------------------------------------------------------------------------------------- circles
# inside a room


def imports_between_files(package: Path) -> dict[str, set[str]]:
    """Which modules of the package each module imports, whenever it does so; `a.b` for `a/b.py` and
    `a/b/__init__.py`."""
    modules = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path

    def module_of(name: str) -> str | None:
        """The longest part of a dotted name that is a module."""
        parts = name.split(".")
        names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
        return next((name for name in names if name in modules), None)

    return {
        name: {target for target in map(module_of, imported(path, package)) if target not in {None, name}}
        for name, path in modules.items()
    }


def circles(package: Path) -> list[list[str]]:
    """Sets of modules each of which imports, over whatever way, all the others."""
    arrows = imports_between_files(package)

    def reachable(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            for name in arrows[waiting.pop()] - seen:
                seen.add(name)
                waiting.append(name)
        return seen

    reach = {name: reachable(name) for name in arrows}
    return sorted(
        {tuple(sorted(a for a in reach[name] if name in reach[a])) for name in arrows if name in reach[name]}
    )


def test_no_modules_import_each_other_in_a_circle(package):
    assert circles(package) == []


@pytest.mark.parametrize(
    ("tree", "circle"),
    [
        (
            {"data/a.py": "from handvae.data.b import B", "data/b.py": "from handvae.data import a"},
            ("data.a", "data.b"),
        ),
        (
            {"data/a.py": "def late():\n    import handvae.data.b", "data/b.py": "from .a import A"},
            ("data.a", "data.b"),
        ),
        (
            {
                "data/a/x.py": "from handvae.data.c import C",
                "data/b.py": "from .a.x import X",
                "data/c.py": "from . import b",
            },
            ("data.a.x", "data.b", "data.c"),
        ),
    ],
    ids=["two", "inside a function", "three over a wing"],
)
def test_a_circle_is_found(tmp_path, tree, circle):
    assert circles(plant(tmp_path, GOOD_TREE | tree)) == [circle]


# --------------------------------------------------------------------------------------------- --- tidy rooms


def python_files(project: Path) -> list[Path]:
    return [
        path for room in ("src", "tests", "benchmarks") for path in sorted((project / room).rglob("*.py"))
    ]


def test_no_file_is_named_for_nothing(project):
    assert [
        path for path in python_files(project) if path.stem in {"utils", "util", "helpers", "misc", "common"}
    ] == []


def test_a_command_file_is_short(package):
    """A longer one does the work of another room."""
    lengths = {path.name: len(path.read_text().splitlines()) for path in (package / "apps").rglob("*.py")}
    assert "options.py" in lengths
    assert {name: length for name, length in lengths.items() if length > 150} == {}


def test_shapes_are_checked_in_tests():
    """The plug-in must have hooked the package before conftest imported it."""
    with pytest.raises(jaxtyping.TypeCheckError):
        joint_errors(torch.zeros(2, 21, 3), torch.zeros(2, 21, 2), torch.ones(2, 21, dtype=torch.bool))


# ---------------------------------------------------------------------------------------------- ---- the help


def test_the_help_imports_nothing_heavy():
    script = "import sys; from handvae.apps.cli import main; main(['--help']); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.splitlines()[-1].split()}
    assert "handvae" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "cv2", "PIL", "tyro", "rich", "pydantic"})


# -------------------------------------------------------------------------------------- README's two commands


def readme_commands(project: Path) -> list[str]:
    """Lines of README's first code block that call make."""
    blocks = re.findall(
        r"^```[a-z]*\n(.*?)^```", (project / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    block = next((block for block in blocks if "make " in block), "")
    return re.findall(r"^(?:\$ )?(make \w+)", block, re.MULTILINE)


def recipe(project: Path, target: str) -> list[str]:
    """Commands of a Makefile's target, its variables filled in by make itself."""
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", target]
    outside = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }  # `make test` runs us
    run = subprocess.run(command, cwd=project, env=outside, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_readme_gives_the_two_commands(project):
    assert readme_commands(project) == ["make demo", "make test"]


@pytest.mark.parametrize(
    ("command", "ends_with"),
    [("make demo", "bin/handvae demo"), ("make test", "-m pytest -n auto --maxprocesses 8")],
)
def test_each_command_of_readme_ends_in_its_job(project, command, ends_with):
    assert recipe(project, command.removeprefix("make "))[-1].endswith(ends_with)


@pytest.mark.slow
def test_the_demo_of_the_makefile_makes_its_four_pictures(project, package, tmp_path):
    if not (package / "weights" / "photos-64.safetensors").is_file():
        pytest.skip("weights/photos-64.safetensors is not there yet")
    command = recipe(project, "demo")[-1].split()[1:]
    # the entry point, in this environment
    script = "import sys; from handvae.apps.cli import main; sys.exit(main(sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-c", script, *command, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    names = {"poses.png", "transfer.png", "walk.gif", "estimate.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all(str(tmp_path / name) in run.stdout for name in names)
