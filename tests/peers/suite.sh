#!/bin/sh
# suite.sh FOLDER RUNTIME [FILE...]: the integration tests of Debian's runc judge RUNTIME, a path.
#
# FOLDER gets all that is fetched and made: Debian's source package (apt reads lists of its own there, the machine's stay
# as they are), the images that the tests would download, and RUNTIME's result as FOLDER/NAME.tap. FILE is one of the
# suite's .bats. Tests mount things, so they have a mount namespace of their own; the cgroups and processes that
# they leave are removed.
set -eu

folder=$(mkdir -p "$1" && cd "$1" && pwd) runtime=$(realpath "$2")
shift 2
here=$(cd "$(dirname "$0")" && pwd)
CGROUPS=runc-cgroups-integration-test # the parent of all that the tests make

# fetch: the source package, unpacked in FOLDER/source.
fetch() {
    [ ! -d "$folder/source" ] || return 0
    mkdir -p "$folder/apt/lists" "$folder/apt/cache"
    . /etc/os-release
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $VERSION_CODENAME main" \
        >"$folder/apt/sources.list"
    printf '%s\n' "Dir::Etc::SourceList \"$folder/apt/sources.list\";" 'Dir::Etc::SourceParts "/dev/null";' \
        "Dir::State::Lists \"$folder/apt/lists\";" "Dir::Cache \"$folder/apt/cache\";" 'APT::Sandbox::User "root";' \
        >"$folder/apt/apt.conf"
    export APT_CONFIG="$folder/apt/apt.conf"
    apt-get update -qq
    (cd "$folder/apt" && apt-get source -qq --download-only runc && dpkg-source --no-check -x runc_*.dsc source)
    mv "$folder/apt/source" "$folder/source"
}

# helpers: the suite's own are Go programs, and quick to start: the tests do not wait until they listen.
helpers() {
    for each in recvtty seccompagent; do
        printf '#!/bin/sh\nexec /usr/bin/python3 -I -S %s "$@"\n' "$here/$each.py" >"$folder/source/contrib/cmd/$each/$each"
        chmod 755 "$folder/source/contrib/cmd/$each/$each"
    done
    cp "$here/helpers.bash" "$folder/source/tests/integration/ours.bash"
    grep -q ours.bash "$folder/source/tests/integration/helpers.bash" ||
        echo 'load ours.bash' >>"$folder/source/tests/integration/helpers.bash"
}

# images: what get-images.sh would download.
images() {
    if [ ! -e "$folder/busybox.tar" ]; then
        rm -rf "$folder/root"
        for each in bin dev etc home lib root sbin tmp usr/bin usr/sbin var/spool/mail; do
            mkdir -p "$folder/root/$each"
        done
        chmod 1777 "$folder/root/tmp"
        cp /bin/busybox "$folder/root/bin"
        for each in $(/bin/busybox --list); do
            [ "$each" = busybox ] || ln "$folder/root/bin/busybox" "$folder/root/bin/$each"
        done
        printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1:daemon:/usr/sbin:/bin/false >"$folder/root/etc/passwd"
        printf '%s\n' root:x:0: daemon:x:1: users:x:100: >"$folder/root/etc/group"
        tar -C "$folder/root" -cf "$folder/busybox.new" .
        mv "$folder/busybox.new" "$folder/busybox.tar"
    fi
    if [ ! -e "$folder/debian.tar" ]; then
        rm -rf "$folder/root"
        debootstrap --variant=minbase "$VERSION_CODENAME" "$folder/root" >"$folder/debootstrap.log"
        tar -C "$folder/root" -cf "$folder/debian.new" .
        mv "$folder/debian.new" "$folder/debian.tar"
    fi
    rm -rf "$folder/root"
    printf '#!/bin/sh\necho BUSYBOX_IMAGE=%s DEBIAN_IMAGE=%s\n' "$folder/busybox.tar" "$folder/debian.tar" \
        >"$folder/source/tests/integration/get-images.sh"
}

. /etc/os-release
fetch
helpers
images
cd "$folder/source/tests/integration"
[ $# -gt 0 ] || set -- *.bats
tmp=$(mktemp -d) # short: a socket's path has at most 108 bytes
chmod a+x "$tmp" # for containers in user namespaces
result=$folder/$(basename "$runtime").tap
# script(1) gives a controlling terminal, for those who run a terminal's container themselves; sh is the first process,
# for script(1) would take orphans for its own child.
export RUNC="$runtime" TMPDIR="$tmp" PATH="$PATH:/usr/sbin:/sbin"
setpriv --pdeathsig TERM timeout --kill-after=5 3000 unshare --mount --pid --fork --kill-child --mount-proc \
    sh -c 'script --quiet --command "$1" /dev/null; exit' sh "bats --formatter tap $* >'$result'" </dev/null >/dev/null || true
rm -rf "$tmp"
find /sys/fs/cgroup/*/$CGROUPS -depth -type d -exec rmdir {} + 2>/dev/null || true
