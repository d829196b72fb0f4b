# shellcheck shell=sh
# Emulated machines, for `./dev test-vm`, which reads this file: its functions and variables are known here.
LANES="vm selinux systemd"
VM_SECONDS=3000
APPARMOR="apparmor=1 security=apparmor"
SELINUX="selinux=1 security=selinux enforcing=0"

# vm_image: what the tests read all the time, as an ext4 at build/vm/image: through the shared filesystem each look costs a
# question to the host. build/vm/contents lists what it holds.
vm_image() {
    tree=build/vm/tree
    rm -rf "$tree" build/vm/image
    stdlib=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    for each in pyproject.toml tests spec runtime conformance build/bin build/lib "$VENV" "$stdlib" "$(readlink -f /bin/busybox)"; do
        realpath -s "$each"
    done >build/vm/contents
    mkdir -p "$tree"
    sed 's,^/,,' build/vm/contents |
        tar --create --directory=/ --exclude='*mypy*' --exclude='*/pip' --exclude='*/ruff' --exclude='*/material' --files-from=- |
        tar --extract --directory="$tree"
    /sbin/mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$tree" build/vm/image 768M >build/vm/mke2fs.log 2>&1 ||
        fail "mke2fs failed, see build/vm/mke2fs.log"
    rm -rf "$tree"
}

# machine LANE BOOT-PARAMETERS TEST...: boots once and runs the tests there; returns pytest's exit code.
machine() {
    lane=$1 parameters=$2 init=
    shift 2
    # shellcheck disable=SC2012 # the newest of names without blanks
    kernel=$(ls -v /boot/vmlinuz-*-amd64 | grep -v -- -cloud- | tail -n 1)
    quoted "$@" >build/vm/arguments
    cp tests/vm/guest.sh tests/vm/systemd.sh build/vm/
    echo "$lane" >build/vm/lane
    echo "${OCIRUN_DRIVER:-}" >build/vm/driver
    echo "${OCIRUN_RUNTIME:-}" >build/vm/runtime
    rm -f build/vm/code
    if [ "$lane" = systemd ]; then
        init=--no-virtme-ng-init parameters="$parameters BASH_ENV=$PWD/build/vm/systemd.sh"
    fi
    say "booting $kernel in an emulator, for the lane $lane"
    # shellcheck disable=SC2086 # an option or nothing
    PATH=$PWD/$VENV/bin:$PATH timeout --kill-after=10 "$VM_SECONDS" vng --disable-kvm --run "$kernel" --cpus 2 --memory 2G \
        $init --append "$parameters mitigations=off" --rwdir="$PWD/build/vm" \
        -- sh "$PWD/build/vm/guest.sh" </dev/null 2>&1 | cat # the emulator opens its output again, and would empty a file
    [ -e build/vm/code ] || fail "the machine did not finish the tests within $VM_SECONDS s, or did not boot"
    return "$(cat build/vm/code)"
}

# lane NAME [TEST...]: boots the machine of this name for these tests, or for those that it is there for.
lane() {
    case $1 in
    vm) parameters=$APPARMOR tests=$VM_TESTS ;;
    selinux) parameters=$SELINUX tests=$SELINUX_TESTS ;;
    systemd) parameters=$APPARMOR tests=$SYSTEMD_TESTS ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    [ $# -gt 1 ] || set -- "$1" $tests
    name=$1
    shift
    machine "$name" "$parameters" "$@"
}

# The tests of emulated machines with this root filesystem (read-only), Debian's kernel, cgroup v2 alone and every
# capability: one machine has AppArmor, one has SELinux, one has systemd as its first process. Their folder for writing
# is build/vm. Given tests run on the lane that --lane names, or whose folder they begin with, or on the first.
test_vm() {
    chosen=
    case ${1:-} in
    --lane) chosen=${2:?"--lane needs one of $LANES"} && shift 2 ;;
    --lane=*) chosen=${1#*=} && shift ;;
    tests/selinux*) chosen=selinux ;;
    tests/systemd*) chosen=systemd ;;
    ?*) chosen=vm ;;
    esac
    case " $LANES " in
    *" ${chosen:-vm} "*) ;;
    *) fail "unknown lane $chosen; there are $LANES" ;;
    esac
    packages $BUILD_PACKAGES $TEST_PACKAGES $VM_PACKAGES
    mkdir -p build/vm
    exec 9>build/vm/lock # another run would take our files away
    flock 9
    build
    venv
    tools vm
    vm_image
    # The machine has no network, and cannot write to the checkout.
    case "$*" in *tests/vm/system*) (cd tests && "../$VENV/bin/python" -c 'from support.bundle import *; debian_rootfs(*SYSTEMD)') ;; esac
    checkpolicy -U allow -o build/vm/policy tests/selinux/policy.conf
    code=0
    for each in ${chosen:-$LANES}; do
        lane "$each" "$@" || code=$?
    done
    exit "$code"
}
