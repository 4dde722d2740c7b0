#!/usr/bin/env bash
# Train and ship `cmvae-64`, 3D joints from photos and from 2D joints: a quarter of an hour on one core, and twenty minutes for the rendered hands.
#   runs/cmvae.sh
set -euo pipefail
OUT=out/cmvae
handvae render --preset rendered-20k --out "$OUT/rendered"
handvae render -n 2000 --seed 77 --out "$OUT/rendered-seed-77"                # the spread is calibrated on these
handvae train cmvae-64 --data.root "$OUT/rendered" --train.steps 4000 --train.no-compile --out "$OUT/run" --resume-or-start
python runs/ship.py "$OUT/run" cmvae-64 --dataset "$OUT/rendered" --spread-from "$OUT/rendered-seed-77" --trained-on "pictures and joints of \`rendered-20k\` of this package, as \`runs/cmvae.sh\` does it; what it finds in
  pictures it finds as \`detector-64\` does, which has seen photos too.
- **Not for**: hands whose left or right is not known; measuring: real hands move otherwise than ours."
