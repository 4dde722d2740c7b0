#!/usr/bin/env bash
# Train and ship `critic-64`, the detector that teaches `photos-64` and `photos-128` and measures nothing: 40 minutes on one core.
#   runs/critic.sh PHOTOS
set -euo pipefail
PHOTOS=${1:?usage: runs/critic.sh PHOTOS}
OUT=out/judge
handvae render --preset rendered-20k --out "$OUT/rendered"
handvae train detector-64 --data.root "$OUT/rendered" --train.steps 9000 --out "$OUT/first" --resume-or-start
handvae train detector-64 --data.root "$PHOTOS" --data.also "$OUT/rendered" --data.shares 3 1 --init "$OUT/first" \
  --train.steps 3000 --out "$OUT/run" --resume-or-start
python runs/ship.py "$OUT/run" critic-64 --dataset "$PHOTOS" --trained-on "rendered-20k first, then three photos for each of them (photos: Sign Language Digits,
  Apache-2.0; pseudo-labels of another detector), as \`runs/critic.sh\` does it. It taught \`photos-64\` and \`photos-128\`: their pictures are not to be measured by it.
- **Not for**: identifying people; several hands in a crop."
