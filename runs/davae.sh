#!/usr/bin/env bash
# Train and ship `davae-64`, 3D joints, cloud and a picture without background from photos: an hour and a half of one core, and twenty minutes
# for the rendered hands.
#   runs/davae.sh
set -euo pipefail
OUT=out/davae
handvae render --preset rendered-20k --out "$OUT/rendered"
handvae render -n 2000 --seed 77 --out "$OUT/rendered-seed-77"                # the spread is calibrated on these
handvae train rendered-mask-64 --system.width 12 --crop.margin 1.35 --crop.sides right --train.steps 1200 \
  --data.root "$OUT/rendered" --out "$OUT/mask" --resume-or-start
first=(--system.no-detach-across-factors --system.betas 1 0.03 0.2)                           # pictures hear z2 cheaply, and so draw outlines from it
all=(--system.mask "$OUT/mask" --data.root "$OUT/rendered" --train.batch 32 --resume-or-start)
handvae train davae-64 "${first[@]}" --system.encoder.keypoint-weight 0 --train.steps 9000 --train.stop-at 3000 "${all[@]}" --out "$OUT/first"
handvae train davae-64 "${first[@]}" --init "$OUT/first" --train.lr 1e-3 --train.steps 4000 --train.stop-at 2000 "${all[@]}" --out "$OUT/second"
handvae train davae-64 --init "$OUT/second" --train.lr 1e-3 --train.steps 2500 "${all[@]}" --out "$OUT/run"
python runs/ship.py "$OUT/run" davae-64 --dataset "$OUT/rendered" --spread-from "$OUT/rendered-seed-77" --trained-on "\`rendered-20k\` of this package, as \`runs/davae.sh\` does it; its
  finder of joints began as \`detector-64\`, which has seen photos too.
- **Not for**: hands whose left or right is not known; measuring: real hands move otherwise than ours."
