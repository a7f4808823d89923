#!/usr/bin/env bash
# A power cut, by hand and as root: results lie on an ext4 of their own in a file, whose journal waits for ten minutes.
# What is in that file, and nothing that only the memory holds, is copied while the command runs and after it has
# ended. On the copy the same command has to bring about what an undisturbed run does.
#   usage: power_cut.sh [ROUNDS]; MEMNET and PYTHON name the command and its Python
set -euo pipefail
memnet=${MEMNET:-memnet} python=${PYTHON:-python} rounds=${1:-5} failed=0
work=$(mktemp -d)
trap 'umount -q "$work"/cut "$work"/disk || true; rm -rf "$work"' EXIT
mkdir "$work"/{in,cut,disk}
"$python" - "$work/in" <<'P'
import sys

import numpy as np
import tifffile
from PIL import Image

noise = np.random.default_rng(0).integers(1, 255, (2, 1100, 1100), dtype=np.uint8)
for n in range(6):
    Image.fromarray(noise[0, : 64 + n, :64]).save(f"{sys.argv[1]}/{n}.png")
tifffile.imwrite(f"{sys.argv[1]}/s.tif", noise, photometric="minisblack")
P
restore() { # FOLDER INPUT...
  "$memnet" batch --task denoise --sigma 25 --exit-block 1 "${@:2}" "$1" >"$work/$(basename "$(dirname "$1")").log" 2>&1
}
after_a_cut() { # NAME INPUT...
  cp "$work/image" "$work/copy"
  mount -o loop "$work/copy" "$work/cut"
  restore "$work/cut/out" "${@:2}" || true
  if diff -rq "$work/expected" "$work/cut/out" -x '.*'; then verdict=whole; else verdict=LOST failed=1; fi
  echo "$1: $verdict; $(tail -1 "$work/cut.log")"
  umount "$work/cut"
}
for kind in pictures zarr; do
  if [ $kind = pictures ]; then inputs=("$work"/in/*.png); else inputs=(--format ome-zarr "$work/in/s.tif"); fi
  rm -rf "$work/expected"
  restore "$work/expected" "${inputs[@]}"
  for ((round = 1; round <= rounds; round++)); do
    truncate -s 0 "$work/image"; truncate -s 64M "$work/image"; mkfs.ext4 -q "$work/image"
    mount -o loop,commit=600 "$work/image" "$work/disk"
    restore "$work/disk/out" "${inputs[@]}" &
    sleep "$(awk "BEGIN { print 2 + 4 * $round / $rounds }")"
    after_a_cut "$kind, cut in round $round" "${inputs[@]}"
    wait
    after_a_cut "$kind, cut at the end" "${inputs[@]}"
    umount "$work/disk"
  done
done
exit $failed
