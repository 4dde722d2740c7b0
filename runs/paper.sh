#!/usr/bin/env bash
# The real thing: the papers' tables and figures with their own presets on their own data sets. Days of a GPU; run it again to continue it.
#   runs/paper.sh DATA INCEPTION [OUT]
# DATA holds rhd, stb, interhand, msra, nyu and icvl as their authors publish them (docs/data.md): what is not there is left out.
# INCEPTION is the FID's network (docs/metrics.md).
set -euo pipefail
DATA=${1:?usage: runs/paper.sh DATA INCEPTION [OUT]}
INCEPTION=${2:?usage: runs/paper.sh DATA INCEPTION [OUT]}
OUT=${3:-out/paper}

# reproduce SET NAME...: tables, then figures of their models; each set has a folder of runs, which they share
reproduce() {
  local set=$1 name options
  shift
  if [ ! -d "$DATA/$set" ]; then
    echo "$DATA/$set is not there: $* left out"
    return
  fi
  for name in "$@"; do
    options=()
    case $set-$name in
      *-srv-vae-table[123]) options=(--inception-weights "$INCEPTION") ;;
      # STB has no masks: RHD's da-VAE takes its backgrounds out
      stb-da-vae-*) options=(--mask "$OUT/rhd/full/runs/da-vae-0") ;;
    esac
    handvae reproduce "$name" --scale full --data "$DATA/$set" --out "$OUT/$set" "${options[@]}"
  done
}

reproduce stb srv-vae-table1 srv-vae-table2 srv-vae-table3 srv-vae-table4
reproduce stb srv-vae-figure3 srv-vae-figure4 srv-vae-figure6
reproduce interhand srv-vae-table1 srv-vae-table2 srv-vae-table4
reproduce interhand srv-vae-figure3 srv-vae-figure5

reproduce rhd cm-vae-table1 cm-vae-table2
reproduce rhd cm-vae-figure4 cm-vae-figure6 cm-vae-figure7 cm-vae-figure8 cm-vae-figure10 cm-vae-figure11
reproduce stb cm-vae-table1 cm-vae-table2 cm-vae-figure3
reproduce stb cm-vae-figure4 cm-vae-figure6 cm-vae-figure7 cm-vae-figure8 cm-vae-figure10 cm-vae-figure11
reproduce msra cm-vae-depth cm-vae-figure5 cm-vae-figure12
reproduce nyu cm-vae-depth cm-vae-figure5 cm-vae-figure12
reproduce icvl cm-vae-depth cm-vae-figure5 cm-vae-figure12

reproduce rhd dvae-figure7 dvae-figure9 dvae-figure4 dvae-figure5 dvae-figure6 dvae-figure7-curves dvae-figure8
reproduce stb dvae-figure7 dvae-figure4 dvae-figure5 dvae-figure6 dvae-figure7-curves dvae-figure8

reproduce rhd da-vae-table1 da-vae-table2 da-vae-table3 da-vae-figure2 da-vae-figure3
reproduce rhd da-vae-figure4 da-vae-figure5 da-vae-figure6 da-vae-shape da-vae-figure7 da-vae-figure8
if [ -d "$DATA/rhd" ]; then
  reproduce stb da-vae-table4 da-vae-figure7 da-vae-figure8
else
  echo "$DATA/rhd is not there, which teaches the mask network: da-vae-table4 left out"
fi
