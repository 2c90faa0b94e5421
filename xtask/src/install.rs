//! Missing servers: installed as root on Debian and its relatives, else named.

use crate::services::Service;
use crate::{Result, paths};
use std::path::Path;
use std::process::Command;

/// A shell does it, so that `policy-rc.d` goes away again on every end, Ctrl-C included. That file keeps the
/// distribution from starting its own servers; one that somebody else wrote stays. What is installed is not upgraded.
const SCRIPT: &str = r#"
policy=/usr/sbin/policy-rc.d
mark='# written by cargo xtask'
if [ ! -e "$policy" ] || grep -qF "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy" && chmod 755 "$policy" || exit 1
fi
apt-get -q -o DPkg::Lock::Timeout=300 update || exit 1
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends --no-upgrade "$@" </dev/null
"#;

/// Installs the packages of the services that have no server here.
pub(crate) fn missing(services: &[&Service]) -> Result<()> {
    let packages: Vec<_> = services.iter().filter(|s| (s.locate)().is_none()).map(|s| s.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let debian = Path::new("/etc/debian_version").exists() && paths::program("apt-get").is_some();
    if !(debian && paths::is_root()) {
        return Err(format!("not installed: {list}\n{}", advice(services, &list, debian)));
    }
    println!("installing {list}");
    let end = Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .map_err(|e| format!("sh: {e}"))?;
    let still: Vec<_> = services.iter().filter(|s| (s.locate)().is_none()).map(|s| s.package).collect();
    if end.success() && still.is_empty() {
        return Ok(());
    }
    Err(format!("apt-get ended with {end}; not installed: {}\n{}", still.join(" "), advice(services, &list, debian)))
}

fn advice(services: &[&Service], packages: &str, debian: bool) -> String {
    let names: Vec<_> = services.iter().map(|s| s.name).collect();
    let first = if debian {
        format!("install them: sudo apt-get install --no-install-recommends {packages}")
    } else {
        format!("install them (Debian's names: {packages})")
    };
    format!(
        "{first}\nor run them in containers: docker compose up -d {} && eval \"$(cargo xtask env)\"",
        names.join(" ")
    )
}
