#!/usr/bin/env bash
# systemd.sh PACKAGE DIRECTORY SUITE: installs the Debian package on a real systemd, PID 1 of a container with a network
# namespace of its own, and tries what docs/systemd.md promises: a line for each check, with what was measured. The exit status is
# 0 if all hold. DIRECTORY keeps the Debian tree of SUITE (bookworm: systemd 252, trixie: 257), which debootstrap makes once.
# Needs root; nothing outside of DIRECTORY and of the namespace is changed.
set -euo pipefail

package=$(readlink -f "$1") directory=$2 suite=$3
base=$directory/$suite root=$directory/$suite-running-$$ netns=masq-systemd-$$
unit=ip-masq-agent.service early=ip-masq-agent-early.service config=/etc/ip-masq-agent/config.yaml flags=/etc/default/ip-masq-agent
nspawn='' failed=0

check() { # check WHAT MEASURED COMMAND...: holds if the command succeeds
    local what=$1 measured=$2
    shift 2
    if "$@"; then echo "ok      $what: $measured"; else
        echo "FAILED  $what: $measured"
        inside journalctl -q -b -u $unit -u $early -o cat | tail -12 | sed 's/^/        | /'
        failed=1
    fi
}
leader() { pgrep -P "$nspawn" | tail -1; } # PID 1 of the container
inside() { nsenter -t "$(leader)" -a --wd=/ -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
property() { inside systemctl show --value -p "$2" "$1"; }
rules() { inside nft list ruleset 2>/dev/null; }
status() { property $unit StatusText; }
waits() { # waits SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}
has() { [[ $($1) == *"$2"* ]]; }
hasnt() { ! has "$@"; }
is() { [[ $1 == "$2" ]]; }
at_most() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a <= b) }'; }
is_active() { is "$(property $unit ActiveState)" active; }
write() { inside tee "$1" >/dev/null; }
exempting() { printf 'nonMasqueradeCIDRs: [%s]\nresyncInterval: 1h\n' "$1" | write $config; }
milliseconds() { echo $((($(date +%s%N) - $1) / 1000000)); }

# boot: systemd in a network namespace without rules, as after a boot of a node
boot() {
    ip netns add "$netns"
    ip -n "$netns" link set lo up
    setsid systemd-nspawn -q -D "$root" -M "$netns" --register=no --keep-unit --network-namespace-path="/run/netns/$netns" \
        --capability=CAP_NET_ADMIN --console=pipe -b >>"$root.log" 2>&1 </dev/null &
    nspawn=$!
    # `degraded`, with status 1, is what a failed unit makes of it.
    waits 240 eval '[[ $(inside systemctl is-system-running 2>/dev/null) == @(running|degraded) ]]'
    # nspawn lays a boot id of its own over /proc. A unit with ProtectProc= has a /proc without it, so that it would seem to run in
    # another boot than root; on a machine both have the same.
    inside umount /proc/sys/kernel/random/boot_id
}
halt() {
    inside systemctl poweroff || :
    waits 60 eval '! kill -0 $nspawn 2>/dev/null' || kill -9 "$nspawn"
    nspawn=''
    ip netns del "$netns"
}
finish() {
    [[ -z $nspawn ]] || halt
    rm -rf "$root" "$root.log" "$directory/$suite-next-$$"*
}
trap finish EXIT

# watch_rules: whoever takes any of the agent's rules away, be it for a moment, is seen by what is_untouched looks at
probes=0
watch_rules() {
    inside systemd-run -q --unit=monitor --collect -p StandardOutput=truncate:/run/monitor nft monitor
    # Each a new one: a table that is there already is not announced, and the first may be made before the monitor listens.
    waits 10 eval 'table=probe$((++probes)); inside nft add table ip $table && inside grep -q $table /run/monitor 2>/dev/null'
}
untouched() {
    inside systemctl stop monitor
    ! inside grep -E '^delete (rule|chain|table)' /run/monitor
}

if [[ ! -e $base/usr/lib/systemd/systemd ]]; then
    mkdir -p "$directory"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,nftables,procps,kmod "$suite" "$base" >"$base.log" 2>&1
fi
cp -a --reflink=auto "$base" "$root"
# A network manager's place: after network-pre.target, before any interface. It keeps what it finds.
cat >"$root/etc/systemd/system/first-interface.service" <<'UNIT'
[Unit]
DefaultDependencies=no
After=network-pre.target
Before=network.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'nft list ruleset >/run/rules-at-the-first-interface'
[Install]
WantedBy=sysinit.target
UNIT
ln -s ../first-interface.service "$root/etc/systemd/system/first-interface.service" 2>/dev/null || :
mkdir -p "$root/etc/systemd/system/sysinit.target.wants"
ln -s ../first-interface.service "$root/etc/systemd/system/sysinit.target.wants/"
cp "$package" "$root/root/package.deb"
boot
echo "        $(inside systemctl --version | head -1), Debian $suite, $(stat -c %s "$package") bytes of package"

# --- installed
began=$(date +%s%N)
inside dpkg -i /root/package.deb >/dev/null 2>&1
check 'installed: the agent runs' "$(property $unit ActiveState), in $(milliseconds "$began") ms" is_active
check 'both units are enabled' "$(inside systemctl is-enabled $unit $early | tr '\n' ' ')" \
    eval 'inside systemctl is-enabled -q $unit && inside systemctl is-enabled -q $early'
check 'the rules are in force' "$(rules | grep -c return) ranges in $(rules | grep -c 'chain IP-MASQ-AGENT') chain" has rules 192.168.0.0/16
pid=$(property $unit MainPID)
facts=$(inside grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$pid/status" | tr -s '\t\n' ' ')
check 'not root, CAP_NET_ADMIN alone, no new privileges, system calls filtered' "$facts" \
    eval '[[ $facts != *"Uid: 0 "* && $facts == *"CapEff: 0000000000001000"*"CapBnd: 0000000000001000"*"NoNewPrivs: 1 Seccomp: 2"* ]]'
check 'the status line' "$(status)" has status '3 ranges exempt'
asked=$(inside ip-masq-agent status 2>&1 | head -1 || :)
check 'root asks without a flag' "$asked" eval 'inside ip-masq-agent status >/dev/null 2>&1'
saved=/var/lib/private/ip-masq-agent/last-known-good
waits 10 inside test -s $saved || :
check 'the last valid configuration is saved' "$(inside stat -c '%u %a %n' $saved 2>&1)" inside test -s $saved
for one in $unit $early; do
    score=$(inside systemd-analyze security --no-pager "$one" | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\) .*/\1/p')
    check "systemd-analyze security $one" "$score" at_most "$score" 1.1
done

# --- files and flags
began=$(date +%s%N)
exempting 10.1.0.0/16
waits 10 has rules 10.1.0.0/16 || :
check 'a saved file is in force' "$(milliseconds "$began") ms, with what it takes to look" has rules 10.1.0.0/16
check 'systemctl reload' "$(inside systemctl reload $unit 2>&1)" is_active
exempting 10.1.0.0/8
inside systemctl reload $unit >/dev/null 2>&1 && reloaded='no error' || reloaded="status $?"
reloaded+=", $(inside journalctl -q -u $unit -o cat | grep -m1 'config.yaml:1: ' || :)"
check 'systemctl reload with a broken file is an error' "${reloaded:0:150}" eval '[[ $reloaded == "status 1, "*config.yaml:1:* ]]'
check 'the rules before stay' "$(status | cut -c1-150)" eval 'has rules 10.1.0.0/16 && is_active'
exempting 10.2.0.0/16
waits 10 has rules 10.2.0.0/16 || :
check 'the mended file is in force' "$(status | cut -c1-100)" has rules 10.2.0.0/16
inside ip-masq-agent apply --config=$config --state-dir=/var/lib/ip-masq-agent >/dev/null 2>&1
exempting 10.3.0.0/16
inside systemctl stop $unit
inside ip-masq-agent apply --config=$config --state-dir=/var/lib/ip-masq-agent >/dev/null 2>&1
saved=$(inside ls -ln /var/lib/private/ip-masq-agent | tail -n +2 | awk '{ printf "%s %s ", $3, $9 }')
exempting 10.3.0.0/8
inside ip-masq-agent cleanup >/dev/null 2>&1
inside systemctl start $unit
check "what root's apply saved, the agent uses" "$saved; $(status | cut -c1-100)" has rules 10.3.0.0/16
exempting 10.3.0.0/16
waits 10 hasnt status degraded || :

# --- the agent dies or hangs, the rules stay
watch_rules
pid=$(property $unit MainPID)
began=$(date +%s%N)
inside kill -9 "$pid"
waits 20 eval '[[ $(property $unit MainPID) != "$pid" ]] && is_active' || :
check 'killed, it is started again' "after $(milliseconds "$began") ms" eval '[[ $(property $unit MainPID) != "$pid" ]] && is_active'
inside mkdir -p /run/systemd/system/$unit.d
printf '[Service]\nWatchdogSec=2s\n' | write /run/systemd/system/$unit.d/watchdog.conf
inside systemctl daemon-reload
inside systemctl restart $unit
pid=$(property $unit MainPID)
sleep 5
check 'the watchdog lets a healthy agent be' "5 s with WatchdogSec=2s, $(property $unit NRestarts) restarts" is "$(property $unit MainPID)" "$pid"
pid=$(property $unit MainPID) began=$(date +%s%N)
inside kill -STOP "$pid"
waits 20 eval '[[ $(property $unit MainPID) != "$pid" ]] && is_active' || :
check 'stopped, the watchdog ends it, and it is started again' "after $(milliseconds "$began") ms with WatchdogSec=2s: $(inside journalctl -q -u $unit -o cat | grep -m1 -i 'watchdog timeout' || :)" \
    eval '[[ $(property $unit MainPID) != "$pid" ]] && is_active && inside journalctl -q -u $unit | grep -qi "watchdog timeout"'
inside rm -r /run/systemd/system/$unit.d
inside systemctl daemon-reload
inside systemctl restart $unit
check 'the rules stayed all the while' 'no commit took any away' untouched

# --- what a restart does not mend
echo 'IP_MASQ_AGENT_FLAGS="--no-such-flag"' | write $flags
inside systemctl restart $unit 2>/dev/null || :
# shellcheck disable=SC2034 # read by eval
before=$(property $unit NRestarts)
sleep 5
check 'wrong flags end it for good, and the rules stay' "$(property $unit ActiveState), status $(property $unit ExecMainStatus), $(property $unit NRestarts) restarts" \
    eval 'is "$(property $unit ActiveState) $(property $unit NRestarts)" "failed $before" && has rules 10.3.0.0/16'
echo 'IP_MASQ_AGENT_FLAGS="--masq-chain=FROM-DEFAULT"' | write $flags
inside systemctl restart $unit || :
check 'flags of /etc/default' "$(rules | grep -o 'chain FROM-DEFAULT' | head -1)" has rules 'chain FROM-DEFAULT'

# --- boots
halt
boot
micro() { property "$1" "$2"; }
applied=$(micro $early ExecMainExitTimestampMonotonic) network=$(micro network-pre.target ActiveEnterTimestampMonotonic) agent=$(micro $unit ActiveEnterTimestampMonotonic)
check 'at boot the rules come before the network' "applied at $applied µs, network-pre.target at $network, the agent ready at $agent; $early took $((applied - $(micro $early ExecMainStartTimestampMonotonic))) µs" \
    eval '((applied > 0 && applied <= network))'
check 'the first interface finds them, with the flags of /etc/default' "$(inside grep -c return /run/rules-at-the-first-interface) ranges" \
    inside grep -q 'chain FROM-DEFAULT' /run/rules-at-the-first-interface
check 'both units are well' "$(property $early ActiveState), $(property $unit ActiveState), $(inside systemctl list-units --failed --no-legend | wc -l) failed" \
    eval 'is "$(property $early ActiveState) $(property $unit ActiveState)" "active active"'
check 'the agent had nothing to change' "$(inside journalctl -q -b -u $unit -o cat | grep -m1 'rules' || :)" eval '! inside journalctl -q -b -u $unit -o cat | grep -q "rules were changed"'
exempting 10.3.0.0/8
halt
boot
check 'a broken file at boot: the last valid configuration is in force' "$(inside grep -o '10\.3[^ ]*' /run/rules-at-the-first-interface | head -1)" \
    inside grep -q 10.3.0.0/16 /run/rules-at-the-first-interface
check 'the early unit shows it' "$(property $early ActiveState), status $(property $early ExecMainStatus)" \
    is "$(property $early ActiveState) $(property $early ExecMainStatus)" 'failed 3'
check 'and so does the status line' "$(property $unit ActiveState): $(status | cut -c1-150)" eval 'is_active && has status config.yaml:1:'
exempting 10.3.0.0/16
waits 10 has status '1 range exempt' || :

# --- upgraded, removed, purged
next=$directory/$suite-next-$$
dpkg-deb -R "$package" "$next"
sed -i 's/^Version: .*/&+next/' "$next/DEBIAN/control"
dpkg-deb --root-owner-group -b "$next" "$root/root/next.deb" >/dev/null
watch_rules
# shellcheck disable=SC2034 # read by eval
pid=$(property $unit MainPID) config_before=$(inside sha256sum $config)
inside dpkg -i /root/next.deb >/dev/null 2>&1
check 'upgraded: the agent is another, the configuration the same' "$(inside dpkg-query -W -f '${Version}' ip-masq-agent)" \
    eval 'is_active && [[ $(property $unit MainPID) != "$pid" && $(inside sha256sum $config) == "$config_before" ]]'
said=$(inside dpkg -r ip-masq-agent 2>&1 | grep -m1 'stay in the kernel' || :)
check 'removed: it says that the rules stay' "$said" test -n "$said"
check 'the agent has ended and the rules are there' "$(property $unit ActiveState), $(rules | grep -c return) ranges" has rules 10.3.0.0/16
check 'neither an upgrade nor a removal took any away' 'no commit' untouched
inside dpkg -P ip-masq-agent >/dev/null 2>&1
check 'purged: the rules are gone' "$(rules | grep -c -E 'return|FROM-DEFAULT' || :) left" hasnt rules FROM-DEFAULT
left=$(inside sh -c 'ls -d /etc/ip-masq-agent /etc/default/ip-masq-agent /var/lib/ip-masq* /var/lib/private/ip-masq* /run/ip-masq* /run/private/ip-masq* /etc/systemd/system/*/ip-masq* 2>/dev/null' || :)
check 'and so is everything else' "left: ${left:-nothing}" test -z "$left"
inside dpkg -i /root/package.deb >/dev/null 2>&1
check 'installed again' "$(property $unit ActiveState)" eval 'is_active && has rules 192.168.0.0/16'

echo
if ((failed)); then echo "some do not hold (systemd of $suite)"; else echo "all hold (systemd of $suite)"; fi
exit $failed
