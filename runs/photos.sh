#!/usr/bin/env bash
# Train and ship `photos-64` and `photos-128`: S-VAE, then with a critic, then one level more; two hours on two cores.
# The critic is the shipped critic-64 (runs/critic.sh).
#   runs/photos.sh PHOTOS
set -euo pipefail
PHOTOS=${1:?usage: runs/photos.sh PHOTOS}
OUT=out/photos
handvae train photos-base-64 --data.root "$PHOTOS" --out "$OUT/base" --resume-or-start
handvae train photos-64 --data.root "$PHOTOS" --init "$OUT/base" --train.steps 6000 --train.stop-at 6000 --train.lr 1e-3 --out "$OUT/judged" --resume-or-start
python runs/ship.py "$OUT/judged" photos-64 --dataset "$PHOTOS"
handvae train photos-128 --data.root "$PHOTOS" --init photos-64 --train.steps 5000 --out "$OUT/large" --resume-or-start
python runs/ship.py "$OUT/large" photos-128 --dataset "$PHOTOS"
