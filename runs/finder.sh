#!/usr/bin/env bash
# Train `finder-256`: 75 minutes on two cores, resumable. It needs what runs/reader.sh has made.
#   runs/finder.sh WILD BACKGROUNDS OTHER_BACKGROUNDS
set -euo pipefail
WILD=${1:?usage: runs/finder.sh WILD BACKGROUNDS OTHER_BACKGROUNDS}
BACKGROUNDS=${2:?usage: runs/finder.sh WILD BACKGROUNDS OTHER_BACKGROUNDS}
OTHERS=${3:?usage: runs/finder.sh WILD BACKGROUNDS OTHER_BACKGROUNDS}
OUT=out/reader

handvae train finder-256 --data.root "$WILD/pictures.json" --data.also "$OUT/rendered" --data.backgrounds "$BACKGROUNDS" \
  --data.without-hands "$BACKGROUNDS" "$OUT/without_hands" --data.shares 0.46 0.32 0.1 0.12 --train.steps 8000 \
  --train.save-every 500 --out "$OUT/finder" --resume-or-start

python runs/ship.py "$OUT/finder" finder-256 --dataset "$WILD/pictures.json" --without-hands "$OTHERS" --trained-on "the train split of \`wild\` (whole
  photos of public repositories, permissive licences: docs/reading_photos.md names them), drawn hands of this package pasted into photos, photos without hands.
- **Not for**: identifying people; hands smaller than a sixteenth of the picture; pictures of crowds."
