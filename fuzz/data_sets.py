"""Coverage-guided fuzzing of the readers: one file of a small data set is damaged, and the set opens, or says
in a `UserError` why not.

    python fuzz/data_sets.py [SECONDS]        # make fuzz: after readers.py, which needs no atheris

Anything else - another exception, a crash of a library, more than 3 GB, more than 30 seconds - ends the run
with an error and leaves the
input in fuzz/crashes/, which `python fuzz/data_sets.py FILE` runs again. The data sets are those that the
tests write.
"""

import importlib.util
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["handvae.data"]):
    from handvae.data.open import open_data

import torch

from handvae.data.export.formats import write_data
from handvae.data.export.stream import samples_of
from handvae.errors import UserError

LAYOUTS = ("rhd", "stb", "interhand", "freihand", "nyu", "icvl", "msra", "ho3d")
CONVERTED = ("coco", "mmpose", "parquet")
ROWS = 4
TOKENS = [
    b"NaN",
    b"1e400",
    b"-1",
    b"0",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"true",
    b"9" * 40,
    b'"../../x"',
    b'"\\u0000"',
    b"[" * 500,
    b"\xff\xfe",
    b"1e9",
]


@dataclass(frozen=True)
class Seed:
    """A file of a data set."""

    root: Path
    path: Path
    content: bytes


def layout_writers() -> dict[str, Callable[[Path], Any]]:
    """The functions of the tests that write data sets in their true layouts."""
    path = Path(__file__).resolve().parents[1] / "tests" / "data" / "conftest.py"
    spec = importlib.util.spec_from_file_location("layouts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: getattr(module, f"write_{name}") for name in LAYOUTS}


def make_seeds(folder: Path) -> list[Seed]:
    """A small data set of each layout; of files that differ in their number alone, one."""
    for name, write in layout_writers().items():
        write(folder / name)
    source = open_data(folder / "freihand")
    for name in CONVERTED:
        write_data(folder / name, name, source.spec, samples_of(source, range(len(source))), "a seed")
    seeds = []
    for root in sorted(folder.iterdir()):
        kinds: dict[tuple[str, str], Path] = {}
        for path in sorted(root.rglob("*")):
            if path.is_file():
                kinds.setdefault(
                    (
                        path.parent.name.rstrip("0123456789"),
                        path.suffix if path.suffix in {".png", ".jpg", ".bin"} else path.name,
                    ),
                    path,
                )
        seeds += [Seed(root, path, path.read_bytes()) for path in kinds.values()]
    return seeds


def read(seed: Seed, content: bytes) -> None:
    """Open the data set with the damaged file, and read of it what there is."""
    seed.path.write_bytes(content)
    try:
        data = open_data(seed.root)
        rows = list(range(min(ROWS, len(data))))
        data.labels(torch.tensor(rows))
        readers = {
            "image": data.picture,
            "depth": data.depth,
            "segmentation": data.segmentation,
            "mask": data.mask,
        }
        for row in rows:
            data.name(row), data.split_of(row), data.provenance_of(row)
            for field in readers.keys() & set(data.spec.modalities):
                readers[field](row)
    except UserError:
        pass
    finally:
        seed.path.write_bytes(seed.content)


def mutate(content: bytes, most: int, seed: int) -> bytes:
    """Damage the file: libFuzzer's ways, words that readers must not trust, cuts, copies; the first byte says
    which file."""
    rng = random.Random(seed)
    which, body = content[:1], content[1:]
    at = rng.randrange(len(body) + 1)
    match rng.randrange(6):
        case 0:
            body = body[:at] + rng.choice(TOKENS) + body[at:]
        case 1:  # a whole number or word of a text file
            words = [place for place, byte in enumerate(body) if byte in b" ,:[{\n"] or [0]
            start = rng.choice(words) + 1
            end = next((place for place in range(start, len(body)) if body[place] in b" ,:]}\n"), len(body))
            body = body[:start] + rng.choice(TOKENS) + body[end:]
        case 2:
            body = body[:at]
        case 3:
            length = rng.choice((1, 4, 8, 64))
            body = body[:at] + rng.randbytes(length) + body[at + length :]
        case _:
            body = atheris.Mutate(body, max(1, most - 1)) if body else b"0"
    return which + body[: most - 1]


def main() -> None:
    """Set up, and hand over to libFuzzer, which ends the process."""
    given = sys.argv[1] if len(sys.argv) > 1 else "60"
    folder = Path(tempfile.mkdtemp(prefix="handvae-fuzz-"))
    seeds = make_seeds(folder / "sets")
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / f"{number:03d}").write_bytes(bytes([number]) + seed.content)
    print(f"{len(seeds)} files of {len(LAYOUTS) + len(CONVERTED)} data sets in {folder}", flush=True)

    def one_input(content: bytes) -> None:
        if content:
            read(seeds[content[0] % len(seeds)], content[1:])

    crashes = Path(__file__).resolve().parent / "crashes"
    crashes.mkdir(exist_ok=True)
    what = ["-runs=1", given] if Path(given).is_file() else [f"-max_total_time={given}", str(corpus)]
    limits = [
        "-rss_limit_mb=3000",
        "-timeout=30",
        "-max_len=400000",
        "-verbosity=1",
        "-print_final_stats=1",
        f"-artifact_prefix={crashes}/",
    ]
    atheris.Setup([sys.argv[0], *limits, *what], one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
