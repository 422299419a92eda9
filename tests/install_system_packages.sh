#!/bin/sh
# Install what the tests use besides Python: Chromium (the pages), PostgreSQL (the tables), nginx
# (several web servers as one), tcmalloc (the allocator of what trains).
# Says what it could not install, and never fails: the tests that need it then skip, or fail
# where CI=true.
set -u

has_chromium() {
    for name in chromium-headless-shell chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    set -- "${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}"/chromium-*/chrome-linux*/chrome
    [ -x "$1" ]
}

has_postgresql() {
    command -v pg_ctl >/dev/null 2>&1 && return 0
    set -- /usr/lib/postgresql/*/bin/initdb
    [ -x "$1" ]
}

has_nginx() {
    command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ]
}

has_tcmalloc() {
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q libtcmalloc_minimal
}

may_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

install_package() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

wanted=""
has_chromium || wanted="$wanted chromium-headless-shell"
has_postgresql || wanted="$wanted postgresql"
has_nginx || wanted="$wanted nginx"
has_tcmalloc || wanted="$wanted libtcmalloc-minimal4"
[ -n "$wanted" ] || exit 0

if may_install; then
    echo "Installing$wanted with apt-get ..."
    apt-get update -qq >/dev/null
    case "$wanted" in
    *postgresql*)
        # The tests start a cluster of their own; the package's default one is not wanted.
        install_package postgresql-common
        sed -i 's/^#\{0,1\}create_main_cluster.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
        ;;
    esac
    for name in $wanted; do
        install_package "$name"
    done
    # Older systems have the headless build only inside the whole browser.
    has_chromium || install_package chromium
    case "$wanted" in
    *nginx*)
        # The tests start one of their own; the package's takes port 80.
        command -v systemctl >/dev/null 2>&1 && systemctl disable --now nginx >/dev/null 2>&1
        ;;
    esac
fi

has_chromium || echo "Chromium is absent, so the browser tests cannot run:" \
    "install the package chromium, or run .venv/bin/playwright install chromium." >&2
has_postgresql || echo "PostgreSQL is absent, so the tests on it cannot run:" \
    "install the package postgresql." >&2
has_nginx || echo "nginx is absent, so the tests of replicas cannot run:" \
    "install the package nginx." >&2
has_tcmalloc || echo "tcmalloc is absent, so the tests of training with it cannot run:" \
    "install the package libtcmalloc-minimal4." >&2
exit 0
