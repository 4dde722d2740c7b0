#!/usr/bin/env bash
# The real thing: the papers' tables with their own presets on their own data sets. Days of a GPU; run it again to continue it.
#   runs/paper.sh DATA INCEPTION [OUT]
# DATA holds rhd, stb, interhand, msra, nyu and icvl as their authors publish them (docs/data.md): what is not there is left out.
# INCEPTION is the FID's network (docs/metrics.md).
set -euo pipefail
DATA=${1:?usage: runs/paper.sh DATA INCEPTION [OUT]}
INCEPTION=${2:?usage: runs/paper.sh DATA INCEPTION [OUT]}
OUT=${3:-out/paper}

# reproduce SET TABLE...: each set has a folder of runs, in which its tables share their trainings
reproduce() {
  local set=$1 table
  shift
  if [ ! -d "$DATA/$set" ]; then
    echo "$DATA/$set is not there: $* left out"
    return
  fi
  for table in "$@"; do
    case $table in
      srv-vae-table[123]) handvae reproduce "$table" --scale full --data "$DATA/$set" --out "$OUT/$set" --inception-weights "$INCEPTION" ;;
      *) handvae reproduce "$table" --scale full --data "$DATA/$set" --out "$OUT/$set" ;;
    esac
  done
}

reproduce stb srv-vae-table1 srv-vae-table2 srv-vae-table3 srv-vae-table4
reproduce interhand srv-vae-table1 srv-vae-table2 srv-vae-table4
reproduce rhd cm-vae-table1 cm-vae-table2 dvae-figure7 dvae-figure9
reproduce stb cm-vae-table1 cm-vae-table2 cm-vae-figure3 dvae-figure7
reproduce msra cm-vae-depth
reproduce nyu cm-vae-depth
reproduce icvl cm-vae-depth
reproduce rhd da-vae-table1 da-vae-table2 da-vae-table3 da-vae-figure2 da-vae-figure3
reproduce stb da-vae-table4
