#!/usr/bin/env bash
# Trains the paper's network (M6 R6, 64 channels) for one task on a GPU, in steps of ten
# minutes, each of which goes on where the last one ended. docs/gpu.md says how to call it.
#
#   benchmarks/train_on_gpu.sh pack    here: pack training images into runs/gpu-data
#   benchmarks/train_on_gpu.sh TASK    there: one step for deblock, denoise or sr
#
# A step leaves the run in runs/gpu-TASK, and copies what the next step needs, and the best
# model so far, to $OUT/gpu-TASK if OUT is set.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${PYTHON:=python3}"
: "${MINUTES:=26}"        # of the whole run, without validations
: "${STEP_SECONDS:=540}"  # after which a step saves and ends
: "${DEVICE:=cuda}"
: "${RUNS:=runs}"
: "${DATA:=$RUNS/gpu-data}"
: "${MEBIBYTES:=32}"      # of images; 60 at most
: "${IMAGES:=../shared/data/train/CID22 ../shared/data/train/CLIC2025}"
: "${VALIDATION:=../shared/data/train/BSDS500_val}"
: "${SETTINGS:=benchmarks/train_on_gpu.yaml}"
: "${OPTIONS:=}"          # more options of memnet train
# Settings name folders in full; this one is the same wherever the run goes on.
: "${LINK:=/tmp/memnet-gpu-data}"

export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"

pack() {
    rm -rf "$DATA"
    # shellcheck disable=SC2086  # several folders
    "$PYTHON" benchmarks/pack_images.py "$DATA/train" "$MEBIBYTES" $IMAGES
    "$PYTHON" benchmarks/pack_images.py "$DATA/validation" 1 "$VALIDATION"
}

step() {
    local run="$RUNS/gpu-$1" given=() status=0 folder
    if [ ! -d "$DATA/train" ]; then
        echo "There are no images in $DATA; make them with: $0 pack" >&2
        exit 2
    fi
    ln -sfn "$(realpath "$DATA")" "$LINK"
    for folder in "$LINK"/train/*; do given+=(--data "$folder"); done
    for folder in "$LINK"/validation/*; do given+=(--val "$folder"); done
    [ ! -e "$run/last.pt" ] || given+=(--resume)
    # The first SIGINT has the run saved; memnet then ends with 130.
    # shellcheck disable=SC2086  # several options
    timeout --preserve-status --signal=INT --kill-after=50 "$STEP_SECONDS" \
        "$PYTHON" -m memnet_core train --task "$1" "${given[@]}" --config "$SETTINGS" \
        --minutes "$MINUTES" --device "$DEVICE" --out "$run" $OPTIONS || status=$?
    if [ -n "${OUT:-}" ] && [ -d "$run" ]; then
        mkdir -p "$OUT/gpu-$1"
        find "$run" -maxdepth 1 -type f -exec cp {} "$OUT/gpu-$1" \;
    fi
    [ "$status" = 130 ] || return "$status"
}

case "${1:-}" in
    pack) pack ;;
    deblock | denoise | sr) step "$1" ;;
    *)
        echo "Usage: $0 pack|deblock|denoise|sr" >&2
        exit 2
        ;;
esac
