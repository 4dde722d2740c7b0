#!/usr/bin/env bash
# Train `reader-128`: six hours on two cores, resumable; the checkpoint of the repository is 10,000 steps of another run.
#   runs/reader.sh PHOTOS WILD BACKGROUNDS
set -euo pipefail
PHOTOS=${1:?usage: runs/reader.sh PHOTOS WILD BACKGROUNDS}
WILD=${2:?usage: runs/reader.sh PHOTOS WILD BACKGROUNDS}
BACKGROUNDS=${3:?usage: runs/reader.sh PHOTOS WILD BACKGROUNDS}
OUT=out/reader

# More views from all round than the renderer's default
handvae render -n 32000 --size 144 --seed 501 --test 1000 --cloud 0 --ranges.camera.upright 0.65 --ranges.hidden 0.15 \
  --out "$OUT/rendered"

handvae train reader-128 --data.root "$OUT/rendered" --data.also "$WILD" "$PHOTOS" \
  --data.without-hands "$BACKGROUNDS" "$WILD/pictures.json" --data.backgrounds "$BACKGROUNDS" \
  --data.shares 0.43 0.35 0.1 0.12 --train.save-every 500 --out "$OUT/run" --resume-or-start
