#!/bin/sh
# Starts torchrun on one node of a SLURM step, so that all nodes train together:
#   srun --nodes=2 --ntasks-per-node=1 torchrun-node.sh PROCESSES PYTHON -m MODULE ARGUMENT…
# PROCESSES is that of all nodes. Tried with two such nodes on one machine (a stand-in for srun sets
# SLURM_NNODES, SLURM_NODEID and MASTER_ADDR); not with SLURM, InfiniBand or NCCL.
set -eu
processes=$1
python=$2
shift 2
nodes=${SLURM_NNODES:?start this with srun}
if [ $((processes % nodes)) -ne 0 ]; then
    echo "The $processes processes cannot be shared out evenly to $nodes nodes." >&2
    exit 1
fi
# The first node of the list; every node finds the same one.
address=${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
# One port a step, since two steps may share a node.
port=${MASTER_PORT:-$((20000 + (${SLURM_JOB_ID:-0} * 7 + ${SLURM_STEP_ID:-0}) % 20000))}
# No restart: the worker does the step again, from the progress that was kept.
exec "$python" -m torch.distributed.run --max_restarts 0 \
    --nnodes "$nodes" --node_rank "$SLURM_NODEID" --nproc_per_node $((processes / nodes)) \
    --master_addr "$address" --master_port "$port" "$@"
