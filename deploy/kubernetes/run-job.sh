#!/bin/sh
# Runs a command as a Kubernetes Job, waits for its end, and fails if it failed:
#   RANKLOOP_LAUNCH_COMMAND="/opt/rankloop/deploy/kubernetes/run-job.sh {name} python -m {job}"
#   RANKLOOP_CANCEL_COMMAND="kubectl delete job {name} --ignore-not-found"
# KUBECTL_ARGUMENTS may hold a namespace or context. Tested with a stand-in for kubectl only.
set -eu
name=$1
shift
here=$(dirname "$0")
template=${JOB_TEMPLATE:-$here/round-job.yaml}
kubectl="kubectl ${KUBECTL_ARGUMENTS:-}"
# As JSON, whatever is in them; and safe in sed's replacement.
command=$(printf '%s\n' "$@" | sed 's/[\\"]/\\&/g; s/.*/"&"/' | paste -s -d , - | sed 's/[\\&|]/\\&/g')
trap '$kubectl delete job "$name" --ignore-not-found --wait=false' TERM INT
sed "s|@NAME@|$name|; s|@COMMAND@|[$command]|" "$template" | $kubectl create -f - >&2
failures=0
while :; do
    # In the background, so that the trap does not wait for it.
    sleep "${POLL_SECONDS:-5}" &
    wait $!
    status=$($kubectl get job "$name" \
        -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') || {
        failures=$((failures + 1))
        [ $failures -lt 10 ] && continue
        echo "Kubernetes does not tell how job $name is." >&2
        exit 1
    }
    failures=0
    case $status in
    *Complete*) exit 0 ;;
    *Failed*)
        $kubectl logs "job/$name" --tail=20 >&2 || true
        exit 1
        ;;
    esac
done
