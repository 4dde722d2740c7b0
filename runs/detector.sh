#!/usr/bin/env bash
# Train and ship `detector-64`: 40 minutes on one core.
#   runs/detector.sh PHOTOS
set -euo pipefail
PHOTOS=${1:?usage: runs/detector.sh PHOTOS}
OUT=out/detector
handvae render --preset rendered-20k --out "$OUT/rendered"
handvae train detector-64 --data.root "$PHOTOS" --data.also "$OUT/rendered" --data.shares 1 1 \
  --system.widths 48 96 192 384 --train.steps 10000 --out "$OUT/run" --resume-or-start
python runs/ship.py "$OUT/run" detector-64 --dataset "$PHOTOS" --trained-on "\`photos\` (half of the hands; Sign Language Digits, Apache-2.0; pseudo-labels of another detector)
  and \`rendered-20k\` of this package (the other half), as \`runs/detector.sh\` does it.
- **Not for**: identifying people; several hands in a crop."
