"""The first table: pose as vector or as vector and limb maps, S-VAE beside SRV-VAE, equal steps, several
seeds.

    python benchmarks/photos_table.py --data PHOTOS --judge "JUDGE_PYTHON JUDGE_SCRIPT"

Each run trains on the train split and makes one picture for every pose of the test split (other people): with
an appearance from N(0, I),
and with another person's. The judge is any program that prints {"n", "found", "error_median"} for a COCO
folder. Results are kept a run a
file, so the table can be stopped and continued; `--print` only prints it.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VECTOR, MAPS = "--system.pose-input vector", "--system.pose-input vector+maps"
S_VAE, SRV = "--system.latent sample", "--system.latent rv"
ROWS = {
    "S-VAE, paper's preset": ("s-vae-2d", ""),
    "SRV-VAE, paper's preset": ("srv-vae-2d", ""),
    "S-VAE, vector": ("photos-base-64", f"{VECTOR} {S_VAE}"),
    "SRV-VAE, vector": ("photos-base-64", f"{VECTOR} {SRV}"),
    "S-VAE, vector+maps": ("photos-base-64", f"{MAPS} {S_VAE}"),
    "SRV-VAE, vector+maps": ("photos-base-64", f"{MAPS} {SRV}"),
}


def one(options: argparse.Namespace, row: str, seed: int) -> None:
    """Train one row with one seed, generate, judge, keep the numbers."""
    preset, flags = ROWS[row]
    name = f"{list(ROWS).index(row)}_{seed}"
    folder, result = options.out / name, options.out / f"{name}.json"
    if result.is_file():
        return
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(options.out / "compiled"),
    }

    def handvae(*words: str) -> None:
        command = [sys.executable, "-m", "handvae.apps.cli", *words]
        with (options.out / f"{name}.log").open("a") as log:
            subprocess.run(command, check=True, env=environment, stdout=log, stderr=log)

    length = [
        "--train.epochs",
        "None",
        "--train.steps",
        str(options.steps),
        "--train.batch",
        str(options.batch),
    ]
    speed = [
        "--train.precision",
        "bf16",
        "--train.save-every",
        "500",
        "--train.seed",
        str(seed),
        "--train.workers",
        "1",
    ]
    handvae(
        "train",
        preset,
        "--data.root",
        str(options.data),
        "--out",
        str(folder),
        "--resume-or-start",
        *shlex.split(flags),
        *length,
        *speed,
    )
    handvae(
        "evaluate",
        str(folder),
        str(options.data),
        "--split",
        "test",
        "--metrics",
        "pose,picture",
        "--report",
        str(folder / "test"),
    )
    (model,) = json.loads((folder / "test/report.json").read_text())["models"]
    measures = {m["name"]: m["value"] for m in model["measures"]}
    numbers = {"pose_read": measures["error_over_hand_size_median"], "psnr": measures["psnr"]}
    for kind, appearances in (
        ("random", ["random"]),
        ("other", [str(options.data), "--appearance-split", "test"]),
    ):
        made = folder / kind
        words = [
            "--model",
            str(folder),
            "--pose",
            str(options.data),
            "--split",
            "test",
            "--out",
            str(made),
            "--overwrite",
            "--seed",
            str(seed),
        ]
        handvae("synthesize", *words, "--appearance", *appearances, "--appearance-from", "prior")
        judged = json.loads(
            subprocess.run(
                [*shlex.split(options.judge), str(made)], check=True, capture_output=True, text=True
            ).stdout
        )
        numbers |= {
            f"{kind}_found": 100 * judged["found"],
            f"{kind}_error": 100 * judged["error_median"],
            "n": judged["n"],
        }
    result.write_text(json.dumps(numbers))


def show(options: argparse.Namespace) -> None:
    """Print mean and range over the seeds."""
    columns = {
        "random_found": "found, random",
        "random_error": "error",
        "other_found": "found, other's",
        "other_error": "error",
    }
    columns |= {"pose_read": "pose read", "psnr": "PSNR dB"}
    print(
        f"| run ({options.steps} steps of {options.batch}) | seeds | " + " | ".join(columns.values()) + " |"
    )
    print("|---" * (2 + len(columns)) + "|")
    for index, row in enumerate(ROWS):
        results = [json.loads(path.read_text()) for path in sorted(options.out.glob(f"{index}_*.json"))]
        if not results:
            continue
        cells = []
        for key in columns:
            values = [result[key] for result in results if result[key] == result[key]]
            cells.append(
                f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})" if values else "-"
            )
        print(f"| {row} | {len(results)} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--judge", help="command that judges a folder")
    parser.add_argument("--out", type=Path, default=Path("runs/photos_table"))
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=list(range(len(ROWS))),
        help="which rows to run, counted from 0",
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument("--print", action="store_true", help="only print what is there")
    options = parser.parse_args()
    if not options.print:
        if options.judge is None:
            parser.error("--judge is needed to run")
        options.out.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(options.jobs) as pool:
            jobs = [
                pool.submit(one, options, list(ROWS)[row], seed)
                for seed in range(options.seeds)
                for row in options.rows
            ]
            for job in jobs:
                job.result()
    show(options)


if __name__ == "__main__":
    main()
