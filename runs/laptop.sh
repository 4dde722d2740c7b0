#!/usr/bin/env bash
# The whole pipeline on a laptop: train the shipped model's preset, measure it, make a labelled set with it, look at it.
# usage: runs/laptop.sh PHOTOS [OUT]      (PHOTOS: a COCO-keypoints folder with splits train and test)
set -euo pipefail
photos=$1
out=${2:-runs/photos-64}

handvae data check "$photos"
handvae train photos-64 --data.root "$photos" --out "$out" --resume-or-start          # about an hour on one core; continues where it was
handvae evaluate "$out" "$photos" --split test --report "$out/test"          # report.html, report.json
handvae synthesize --model "$out" --pose "$photos" --split test --out "$out/synthetic" --overwrite
handvae render --preset rendered-20k --out "$out/rendered"                   # resumes too
handvae train detector-64 --data.root "$photos" --data.also "$out/rendered" --data.shares 1 1 --out "$out/detector" --resume-or-start
handvae evaluate "$out/detector" "$photos" --split test --report "$out/detector/test"
handvae demo --model "$out" --out "$out/demo"
python "$(dirname "$0")/ship.py" "$out" photos-64 --dataset "$photos"
