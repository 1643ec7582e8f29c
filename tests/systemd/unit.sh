#!/usr/bin/env bash
# The node's unit on a real systemd: installed by scripts/install, started, asked, reloaded, stopped.
# Runs as root of a throw-away guest (scripts/platforms x86_64-systemd-unit), and speaks as Rust's
# tests do.
#
#     tests/systemd/unit.sh PROGRAMS     directory of albs-node and sandbox-init
# shellcheck disable=SC2317  # check calls them
set -uo pipefail
programs=$1
tree=$(cd "$(dirname "$0")/../.." && pwd)
config=/etc/albs-node/build_node.yml
failed=0

# check NAME COMMAND...: one test
check() {
    local name=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "test unit::$name ... ok"
    else
        echo "test unit::$name ... FAILED"
        printf -- '---- unit::%s stdout ----\n%s\n' "$name" "$said"
        journalctl -u albs-node --no-pager -n 30
        failed=1
    fi
}

installed() {
    "$tree/scripts/install" --from "$programs" || return
    # A second time changes nothing.
    cp "$config" /tmp/before && "$tree/scripts/install" --from "$programs" && cmp "$config" /tmp/before || return
    test "$(grep -c '^albs-node:' /etc/subuid)" = 1 && test "$(stat -c '%U:%G %a' "$config")" = 'root:albs-node 640'
}

started() {
    sed -i 's|https://build.example.org|http://127.0.0.1:9|; s/^threads_count: .*/threads_count: 3/' "$config"
    albs-node config-check -c "$config" && systemctl start albs-node && systemctl is-active albs-node
}

# Twenty seconds for what is told a little later.
eventually() {
    for _ in $(seq 100); do
        "$@" && return
        sleep 0.2
    done
    return 1
}

show() { systemctl show albs-node --value -p "$1"; }

is_idle() { test "$(show StatusText)" = '0 of 3 slots build, 0 tasks wait for their report'; }

told() {
    # The node is ready before it has said so.
    eventually is_idle || { show StatusText; return 1; }
    test "$(show NRestarts)" = 0 && albs-node status -c "$config" | grep 'slots 3 of 3 free'
}

unprivileged() {
    local pid user
    pid=$(show MainPID) user=$(id -u albs-node)
    grep -Eq "^Uid:\s$user\s$user\s$user\s$user$" "/proc/$pid/status" && grep -q '^CapEff:\s0*$' "/proc/$pid/status" || return
    # Nobody else may ask.
    ! setpriv --reuid 65534 --regid 65534 --clear-groups albs-node status -c "$config"
}

# What the node's own builds have around them: everything of the unit but its program.
as_the_unit() {
    local options=() line
    while read -r line; do
        case $line in
            User=*|Group=*|Delegate=*|UMask=*|Protect*|Keyring*|StateDirectory=*) options+=(-p "$line") ;;
        esac
    done < <(sed -n '/^\[Service\]/,/^\[Install\]/p' "$tree/systemd/albs-node.service")
    systemd-run --quiet --wait --pipe "${options[@]}" "$@"
}

sandboxes() {
    local said
    said=$(as_the_unit albs-node sandbox run --memory 200M --pids 50 -- id -u) || { echo "$said"; return 1; }
    test "$said" = 0 && as_the_unit albs-node doctor --store /var/lib/albs-node/buildroots
}

has_two_slots() { albs-node status -c "$config" | grep -q 'slots 2 of 2 free'; }

reloaded() {
    sed -i 's/^threads_count: .*/threads_count: 2/' "$config"
    systemctl reload albs-node && eventually has_two_slots
}

stopped() {
    systemctl stop albs-node && test "$(show Result)" = success && ! systemctl is-active albs-node
}

check installed installed
check started started
check status_is_told told
check no_privileges unprivileged
check sandboxes_below_it sandboxes
check reloaded reloaded
check stopped stopped
echo "test result: $([ $failed = 0 ] && echo ok || echo FAILED)."
exit $failed
