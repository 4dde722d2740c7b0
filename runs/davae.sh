#!/usr/bin/env bash
# Train and ship `davae-64`, 3D joints, cloud and a picture without background from photos: an hour and a half of one core, and twenty minutes
# for the rendered hands.
#   runs/davae.sh
set -euo pipefail
OUT=out/davae
handvae render --preset rendered-20k --out "$OUT/rendered"
handvae render -n 2000 --seed 77 --out "$OUT/rendered-seed-77"                # the spread is calibrated on these
handvae train rendered-mask-64 --system.width 12 --crop.margin 1.35 --crop.sides right --train.steps 1200 \
  --data.root "$OUT/rendered" --out "$OUT/mask" --resume
handvae train davae-64 --system.mask "$OUT/mask" --train.batch 32 --train.steps 9000 --data.root "$OUT/rendered" --out "$OUT/run" --resume
python runs/ship.py "$OUT/run" davae-64 --dataset "$OUT/rendered" --spread-from "$OUT/rendered-seed-77" --trained-on "\`rendered-20k\` of this package, as \`runs/davae.sh\` does it; what it finds in
  pictures it finds as \`detector-64\` does, which has seen photos too.
- **Not for**: hands whose left or right is not known; measuring: real hands move otherwise than ours."
