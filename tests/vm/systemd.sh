# What makes the machine `systemd` out of the others' one: bash reads this file (BASH_ENV on the kernel's command line)
# before the emulator's driver, its own init as a bash script. When that has mounted everything and would run the tests
# in a session of their own, its process, which is number 1, becomes systemd instead, and a unit runs them.
# systemd knows the units that are listed here and no others, whatever this machine has installed.
unset BASH_ENV

UNITS="basic.target dbus.service dbus.socket local-fs-pre.target local-fs.target paths.target shutdown.target slices.target
    sockets.target swap.target sysinit.target systemd-journald-dev-log.socket systemd-journald.service
    systemd-journald.socket timers.target umount.target user.slice user@.service"
USER_UNITS="app.slice basic.target default.target exit.target paths.target session.slice shutdown.target sockets.target
    systemd-exit.service timers.target"
USER_ID=5000 # tests/support/systemd.py knows it too

# only FOLDER [FILE...]: of what is in this folder of /usr/lib/systemd, nothing but these files is left.
only() {
    local folder=/usr/lib/systemd/$1 kept=/run/boot/$1
    shift
    mkdir -p "$kept" "$folder"
    (cd "$folder" && [ $# -eq 0 ] || cp "$@" "$kept")
    mount --bind "$kept" "$folder"
}

# unit PATH: standard input becomes a unit file below /usr/lib/systemd.
unit() {
    mkdir -p "/usr/lib/systemd/$(dirname "$1")"
    cat >"/usr/lib/systemd/$1"
}

keep_listed_units() {
    # shellcheck disable=SC2086 # lists of words
    {
        only system $UNITS
        only user $USER_UNITS
    }
    for each in generators environment-generators; do
        only "system-$each"
        only "user-$each"
    done
    mkdir /run/boot/etc
    for each in /etc/systemd/system /etc/systemd/user; do
        mkdir -p $each
        mount --bind /run/boot/etc $each
    done
}

system_units() {
    unit system/default.target <<END
[Unit]
Description=The machine is ready for tests
Requires=basic.target
Wants=systemd-journald.service dbus.service tests.service
After=basic.target
END
    # The machine is "running" once they have been started. They may make cgroups of their own below this unit's.
    unit system/tests.service <<END
[Unit]
Description=The tests
After=systemd-journald.service dbus.service
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate
[Service]
Type=exec
Delegate=yes
OOMPolicy=continue
TasksMax=infinity
Environment=HOME=/root
ExecStart=/bin/sh -c 'exec sh $shared/guest.sh >/dev/virtio-ports/virtme.stdout 2>&1 </dev/null'
END
}

# Neither logind nor its PAM module is needed: what they prepare for a user's systemd is his runtime directory.
user_units() {
    unit system/user-runtime-dir@.service <<END
[Unit]
Description=The runtime directory of the user %i
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/install -d -m 0700 -o %i -g %i /run/user/%i
END
    unit system/user@.service.d/alone.conf <<END
[Service]
PAMName=
Environment=XDG_RUNTIME_DIR=/run/user/%i DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/%i/bus
END
    unit user/dbus.socket <<END
[Unit]
Description=The user's bus
[Socket]
ListenStream=%t/bus
END
    unit user/dbus.service <<END
[Unit]
Description=The user's bus
Requires=dbus.socket
[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only
END
    mkdir -p /usr/lib/systemd/user/sockets.target.wants
    ln -s ../dbus.socket /usr/lib/systemd/user/sockets.target.wants/
    echo "rootless:x:$USER_ID:$USER_ID::/run/user/$USER_ID:/bin/sh" >>/etc/passwd
    echo "rootless:x:$USER_ID:" >>/etc/group
    for each in /etc/subuid /etc/subgid; do
        echo rootless:500000:65536 >>$each
    done
}

# setsid is what the driver calls for the tests.
[ $$ != 1 ] || setsid() {
    set -eu
    shared=/${virtme_initmount0#/}
    udevadm control --exit # as guest.sh says
    keep_listed_units
    system_units
    user_units
    [ -s /etc/machine-id ] || tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
    umount /sys/fs/cgroup # systemd mounts it with its own options
    rm -rf /run/user
    exec /lib/systemd/systemd </dev/null >/dev/null 2>&1
}
