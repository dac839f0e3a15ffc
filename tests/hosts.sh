#!/bin/bash
# Several hosts on one machine: network namespaces with names and addresses of their own, joined by
# links of a given rate. A command of its own (--help), and functions for scripts that source it:
#
#   hosts_enter SCRIPT ARG...     starts the script anew in namespaces of its own, or ends with 77
#   hosts_make COUNT RATE [DELAY] host1, host2, ... (RATE none: unlimited), and Open MPI's settings
#   hosts_in N COMMAND...         runs a command on host N
#   hosts_start N COMMAND...      the same in the background: $hosts_child
#   hosts_cut N, hosts_mend N     takes the link of host N down, and up again
#   hosts_pids N                  the processes of host N, but for the one that holds it
#
# Nothing is left behind, whatever happens: all processes live in a PID namespace that ends with the
# script, and with it go the network namespaces.
set -u

HOSTS_NET=10.77.0
HOSTS_PORT=host0 # the link of each host
hosts_dir=
hosts_holders=()

# ------------------------------------------------------------------------------------- namespaces

hosts_skip() { # REASON
  echo "skipped: $*"
  exit 77
}

hosts_unshare() { # COMMAND...
  local user=()
  [ "$(id -u)" = 0 ] || user=(--map-root-user)
  unshare "${user[@]}" --net --uts --mount --pid --fork --kill-child --mount-proc "$@"
}

hosts_enter() { # SCRIPT ARG...
  local tool why
  [ -z "${TV_HOSTS_INSIDE:-}" ] || return 0
  for tool in unshare nsenter ip tc hostname; do
    command -v "$tool" >/dev/null || hosts_skip "$tool is missing (tools/setup.sh --tests)"
  done
  why=$(hosts_unshare ip link add hosts0 type bridge 2>&1) ||
    hosts_skip "no hosts on this machine: network namespaces are not permitted ($why)"
  export TV_HOSTS_INSIDE=1
  hosts_unshare bash "$@"
  exit
}

# ------------------------------------------------------------------------------------------ hosts

hosts_shape() { # RATE DELAY TC-DEVICE...
  local rate=$1 delay=$2 parent=(root) why
  shift 2
  if [ "$rate" != none ]; then
    why=$(tc qdisc add "$@" root handle 1: tbf rate "$rate" burst 128kb latency 100ms 2>&1) ||
      hosts_skip "tc cannot limit a link to $rate ($why)"
    parent=(parent 1:1)
  fi
  [ -n "$delay" ] || return 0
  why=$(tc qdisc add "$@" "${parent[@]}" handle 2: netem delay "$delay" limit 100000 2>&1) ||
    hosts_skip "tc cannot delay a link by $delay; this kernel has no netem ($why)"
}

hosts_add() { # N RATE DELAY
  local name=host$1 port=port$1 holder
  unshare --net --uts sleep infinity &
  holder=$!
  hosts_holders[$1]=$holder
  # Until then it still is in our own namespaces.
  until [ "$(readlink "/proc/$holder/ns/uts")" != "$(readlink /proc/self/ns/uts)" ]; do
    kill -0 "$holder" || exit 1
  done
  echo "$holder" >"$hosts_dir/$name"
  ip link add "$port" type veth peer name "$HOSTS_PORT" netns "$holder" || exit 1
  ip link set "$port" master hosts0 up || exit 1
  hosts_in "$1" hostname "$name"
  hosts_in "$1" ip link set lo up
  hosts_in "$1" ip address add "$HOSTS_NET.$1/24" dev "$HOSTS_PORT"
  hosts_in "$1" ip link set "$HOSTS_PORT" up
  hosts_shape "$2" "$3" dev "$port"
  hosts_in "$1" bash -c ". $(printf %q "$hosts_script"); hosts_shape \"\$@\"" - \
    "$2" "$3" dev "$HOSTS_PORT" || exit
  echo "$HOSTS_NET.$1 $name" >>"$hosts_dir/hosts"
  echo "$name slots=${HOSTS_SLOTS:-1}" >>"$hosts_dir/hostfile"
}
hosts_script=$(realpath "${BASH_SOURCE[0]}")

# What mpirun calls in place of ssh: HOST COMMAND..., the command as words of a shell.
hosts_write_agent() {
  cat >"$hosts_dir/agent" <<AGENT
#!/bin/sh
host=\$1
shift
exec nsenter --target "\$(cat "$hosts_dir/\$host")" --net --uts sh -c "\$*"
AGENT
  chmod +x "$hosts_dir/agent"
}

hosts_set_mpi() {
  export OMPI_MCA_plm_rsh_agent=$hosts_dir/agent OMPI_MCA_orte_default_hostfile=$hosts_dir/hostfile
  export OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_tcp_if_include=$HOSTS_NET.0/24
  export OMPI_MCA_oob_tcp_if_include=$HOSTS_NET.0/24 OMPI_MCA_orte_tmpdir_base=$hosts_dir
  export OMPI_MCA_hwloc_base_binding_policy=none
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

hosts_make() { # COUNT RATE [DELAY]
  local n
  hosts_dir=$(mktemp -d) || exit 1
  mount -t tmpfs hosts "$hosts_dir" || hosts_skip "no hosts on this machine: no mounts"
  echo "127.0.0.1 localhost" >"$hosts_dir/hosts"
  hosts_write_agent
  ip link set lo up
  ip link add hosts0 type bridge && ip link set hosts0 up || exit 1
  for n in $(seq "$1"); do hosts_add "$n" "$2" "${3:-}"; done
  mount --bind "$hosts_dir/hosts" /etc/hosts
  hosts_set_mpi
}

# To be called at the end; where that does not happen an empty folder is left.
hosts_remove() {
  [ -n "$hosts_dir" ] || return 0
  kill "${hosts_holders[@]}" 2>/dev/null
  umount -l "$hosts_dir" && rmdir "$hosts_dir"
  hosts_dir=
}

hosts_in() { # N COMMAND...
  local holder=${hosts_holders[$1]}
  shift
  nsenter --target "$holder" --net --uts "$@"
}

hosts_start() { # N COMMAND...
  local holder=${hosts_holders[$1]}
  shift
  nsenter --target "$holder" --net --uts "$@" </dev/null &
  # shellcheck disable=SC2034 # for the caller
  hosts_child=$!
}

hosts_cut() { # N
  ip link set "port$1" down
}

hosts_mend() { # N
  ip link set "port$1" up
}

hosts_pids() { # N
  local space pid
  space=$(readlink "/proc/${hosts_holders[$1]}/ns/net")
  for pid in /proc/[0-9]*; do
    [ "$(readlink "$pid/ns/net" 2>/dev/null)" = "$space" ] || continue
    [ "${pid#/proc/}" = "${hosts_holders[$1]}" ] || echo "${pid#/proc/}"
  done
}

# ----------------------------------------------------------------------------------- as a command

hosts_usage() {
  cat <<'TEXT'
usage: tests/hosts.sh [--hosts N] [--rate RATE] [--delay TIME] [--slots N] COMMAND [ARG...]

Runs a command on the first of N hosts that are namespaces of this machine; mpirun finds all of
them. Needs root, or a kernel that lets users make namespaces; ends with 77 where it cannot.

  --hosts N     how many (2)
  --rate RATE   of each host's link, both ways: 1gbit (the default), 100mbit, ..., none
  --delay TIME  added each way: 2ms
  --slots N     ranks that mpirun puts on a host before it takes the next (1)

tests/hosts.sh --hosts 2 --rate 100mbit mpirun -n 2 build/trivium train run.yaml --share-device
TEXT
}

hosts_main() {
  local count=2 rate=1gbit delay='' all=("$@")
  HOSTS_SLOTS=1
  while [ $# -gt 0 ]; do
    case $1 in
    --hosts) count=${2:-} ;;
    --rate) rate=${2:-} ;;
    --delay) delay=${2:-} ;;
    --slots) HOSTS_SLOTS=${2:-} ;;
    --help | -h) hosts_usage && exit ;;
    --*) echo "hosts.sh: no option $1; see tests/hosts.sh --help" >&2 && exit 2 ;;
    *) break ;;
    esac
    shift 2 || { echo "hosts.sh: ${all[-1]} needs a value" >&2 && exit 2; }
  done
  [[ $# -gt 0 && $count =~ ^[1-9][0-9]?$ ]] || { hosts_usage >&2 && exit 2; }
  hosts_enter "$hosts_script" "${all[@]}"
  trap hosts_remove EXIT
  hosts_make "$count" "$rate" "$delay"
  hosts_in 1 "$@"
}

[ "${BASH_SOURCE[0]}" != "$0" ] || hosts_main "$@"
