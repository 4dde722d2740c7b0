#!/usr/bin/env bash
# Train and ship `rendered-128`, pictures of any pose: `photos-128` trained further on two rendered hands for each photo; an hour on one core.
#   runs/rendered.sh PHOTOS
set -euo pipefail
PHOTOS=${1:?usage: runs/rendered.sh PHOTOS}
OUT=out/rendered-128
handvae render -n 10000 --size 128 --test 1000 --seed 128 --cloud 0 --out "$OUT/rendered" --ranges.hidden 0 --ranges.other-hand 0 --ranges.skin.glove 0 \
  --ranges.background.plain 0.6 --ranges.background.room 0.1 --ranges.background.desk 0.15 --ranges.background.surface 0.15 \
  --ranges.background.clutter 0 --ranges.background.outdoor 0 --ranges.background.screens 0 --ranges.background.lights 0
handvae train rendered-128 --data.root "$OUT/rendered" --data.also "$PHOTOS" --data.shares 2 1 --init photos-128 --out "$OUT/run" --resume-or-start
python runs/ship.py "$OUT/run" rendered-128 --dataset "$OUT/rendered" "$PHOTOS" --trained-on "two rendered hands of this package, as \`runs/rendered.sh\` draws them, for each photo (\`photos\`: Sign
  Language Digits, Ankara Ayranci Anadolu High School, Apache-2.0; pseudo-labels of another detector).
- **Not for**: identifying people; measuring."
