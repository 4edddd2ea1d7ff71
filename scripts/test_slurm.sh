#!/usr/bin/env bash
# Run a sweep on a real SLURM of one node, and requeue one of its jobs while it trains.
#
#   sudo scripts/test_slurm.sh          (Debian; installs slurm-wlm and munge if they are missing)
#
# SLURM lives in a temporary folder, and is taken down at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$PWD/.venv/bin/python}

command -v slurmctld munged > /dev/null || apt-get install -y -qq slurm-wlm munge > /dev/null
work=$(mktemp -d /tmp/slurm-test.XXXXXX)
chmod 755 "$work"
export SLURM_CONF=$work/slurm.conf
# shellcheck disable=SC2317
down() {
    [ -z "${command:-}" ] || kill "$command" 2> /dev/null || true
    scancel --user=root 2> /dev/null || true
    for name in slurmctld slurmd; do pkill -F "$work/$name.pid" 2> /dev/null || true; done
    pkill -F "$work/munge/munged.pid" 2> /dev/null || true
    sleep 1
    rm -rf "$work"
}
trap down EXIT

mkdir -p "$work"/{state,spool,munge}
[ -f /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
chown -R munge: /etc/munge "$work/munge"
chmod 400 /etc/munge/munge.key
socket=$work/munge/socket
runuser -u munge -- munged --force --socket="$socket" --pid-file="$work/munge/munged.pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed"

cat > "$SLURM_CONF" << CONF
ClusterName=test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$socket
CredType=cred/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SchedulerParameters=batch_sched_delay=1
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
slurmctld
slurmd
for _ in $(seq 60); do
    [ "$(sinfo -h -o %T 2> /dev/null)" = idle ] && break
    sleep 1
done
sinfo

sweep=$work/sweep
"$python" train.py -m hydra/launcher=submitit_slurm hydra.launcher.partition=test \
    hydra.launcher.timeout_min=30 hydra.launcher.cpus_per_task=1 \
    data.source.train_tracks=3 data.source.valid_tracks=1 data.source.test_tracks=1 data.source.seconds=6 \
    data.root="$work/songs" model.width=2 model.levels=3 chunk_seconds=0.5 data.batch_size=2 \
    data.num_workers=0 data.chunks_per_epoch=400 trainer.max_epochs=2 logger=csv \
    callbacks.autosave.minutes=100 paths.run_dir="$sweep" seed=0,1 &
command=$!

wait_for() { # a file, a pattern in it, how often
    for _ in $(seq 600); do # SLURM waits two minutes before it starts a requeued job
        count=$(grep -c "$2" "$1" 2> /dev/null) || true
        [ "${count:-0}" -ge "$3" ] && return 0
        kill -0 $command || { cat "$sweep"/.submitit/*/*_log.err; return 1; }
        sleep 1
    done
    echo "error: $1 does not say '$2' $3 times" >&2
    squeue >&2
    tail -n 20 "$work/slurmctld.log" "$1" >&2
    return 1
}

log=$sweep/0/train.log
wait_for "$log" "an epoch takes about" 1
job=$(squeue -h -t RUNNING -o %i -S i | head -n 1)
echo "signal to job $job"
scancel --signal=USR2 "$job"
wait_for "$log" "run folder" 2
step=$(sed -n 's/.*written at step \([0-9]*\);.*/\1/p' "$log" | head -n 1)
wait $command

"$python" - "$sweep" "$step" << 'CHECK'
import csv, sys
from pathlib import Path
import torch

sweep, step = Path(sys.argv[1]), int(sys.argv[2])
rows = list(csv.DictReader((sweep / "summary.csv").open()))
assert [row["error"] for row in rows] == ["", ""], rows
assert all(row["score_db"] for row in rows), rows
last = torch.load(sweep / "0/checkpoints/last.ckpt", weights_only=True)
assert 0 < step < last["global_step"] == 400, (step, last["global_step"])
logged = list(csv.DictReader((sweep / "0/csv/metrics.csv").open()))
steps = [int(row["step"]) for row in logged if row["train/loss_step"]]
assert steps == sorted(set(steps)) and len(steps) == 40, len(steps)
print(f"requeued at step {step}, ended at step 400, {len(steps)} rows of losses, each once")
CHECK
