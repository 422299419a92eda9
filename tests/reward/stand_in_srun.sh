#!/bin/sh
# Stands in for srun: it starts a command in another session, with another working directory and a
# clean environment, waits for it and gives its exit code. A signal to it does not reach the command.
#   stand_in_srun.sh FOLDER COMMAND…      the command's process id is left in FOLDER/pid
folder=$1
shift
cd / || exit 1
setsid env -i PATH=/usr/bin:/bin HOME=/tmp OMP_NUM_THREADS=1 "$@" &
echo $! > "$folder/pid"
wait $!
