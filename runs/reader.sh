#!/usr/bin/env bash
# Train `reader-128` on two cores, resumable: two hours for its first 10,000 steps, then it sorts out regions that
# only seem to show no hand, and goes on for an hour.
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
  --data.shares 0.43 0.35 0.1 0.12 --train.steps 10000 --train.save-every 500 --out "$OUT/first" --resume-or-start

python runs/without_hands.py "$WILD/pictures.json" "$OUT/without_hands" --reader "$OUT/first/model.safetensors"

handvae train reader-128 --init "$OUT/first/model.safetensors" --data.root "$OUT/rendered" --data.also "$WILD" "$PHOTOS" \
  --data.without-hands "$BACKGROUNDS" "$OUT/without_hands" --data.backgrounds "$BACKGROUNDS" --data.shares 0.40 0.38 0.1 0.12 \
  --train.steps 4000 --train.lr 1.3e-3 --train.seed 7 --train.save-every 500 --out "$OUT/run" --resume-or-start

python runs/ship.py "$OUT/run" reader-128 --dataset "$WILD" "$PHOTOS" "$OUT/rendered" --trained-on "drawn hands of this package, \`photos\` (Sign
  Language Digits, Ankara Ayranci Anadolu High School, Apache-2.0) and the train split of \`wild\` (photos of public repositories, permissive
  licences: docs/reading_photos.md names them); regions of photos without hands. Labels of photos are another network's, weighed by its spread.
- **Not for**: identifying people; measuring hands in mm; hands that hold each other or an object are its weakest, and small or blurred ones."
