#!/usr/bin/env bash
# Train `finder-256`: hours on two cores, resumable. Not yet run to its end.
#   runs/finder.sh WILD BACKGROUNDS
set -euo pipefail
WILD=${1:?usage: runs/finder.sh WILD BACKGROUNDS}
BACKGROUNDS=${2:?usage: runs/finder.sh WILD BACKGROUNDS}
OUT=out/reader

handvae render -n 32000 --size 144 --seed 501 --test 1000 --cloud 0 --ranges.camera.upright 0.65 --ranges.hidden 0.15 \
  --out "$OUT/rendered"

handvae train finder-256 --data.root "$WILD/pictures.json" --data.also "$OUT/rendered" --data.backgrounds "$BACKGROUNDS" \
  --data.without-hands "$BACKGROUNDS" --data.shares 0.5 0.3 0.2 --out "$OUT/finder" --resume-or-start
