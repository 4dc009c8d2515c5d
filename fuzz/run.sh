#!/usr/bin/env bash
# Runs built fuzz targets, each for so many seconds, beginning with the seed corpus (`fuzz/seeds.sh`) and with what earlier
# runs found worth keeping. With the same SEED and nothing kept, the same inputs are tried. Everything
# that it writes is below DIRECTORY. `make fuzz` calls it.
set -euo pipefail
(($# >= 5)) || { printf 'usage: %s BINARIES DIRECTORY SECONDS SEED TARGET…\n' "$0" >&2; exit 2; }
binaries=$1 directory=$2 seconds=$3 seed=$4
shift 4

# Far above what any input needs: the longest takes milliseconds, and the targets were seen to take 90 MiB.
limits=(-max_len=16384 -timeout=20 -rss_limit_mb=512)

rm -rf "$directory/seeds"
"$(dirname "$0")/seeds.sh" "$directory/seeds"
failed=()
for target in "$@"; do
    mkdir -p "$directory/corpus/$target" "$directory/artifacts/$target"
    log=$directory/$target.log
    if "$binaries/$target" -max_total_time="$seconds" -seed="$seed" "${limits[@]}" -print_final_stats=1 \
        -artifact_prefix="$directory/artifacts/$target/" \
        "$directory/corpus/$target" "$directory/seeds/$target" >"$log" 2>&1; then
        sed -n "s/^stat::number_of_executed_units: /$target: inputs tried: /p" "$log"
        continue
    fi
    failed+=("$target")
    tail -n 60 "$log"
    artifact=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    printf '\n%s failed; the whole log is %s\n' "$target" "$log"
    printf 'to repeat it: %s %s\n' "$binaries/$target" "${artifact:-"$directory/seeds/$target/*"}"
done
if ((${#failed[@]} > 0)); then
    printf 'fuzz targets that failed: %s\n' "${failed[*]}"
    exit 1
fi
