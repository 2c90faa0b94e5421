//! MariaDB.

use super::{Place, Service};
use crate::process::{Account, Launch};
use crate::{Result, paths, probe};
use std::fs;
use std::os::unix::fs::chown;

pub(crate) const SERVICE: Service = Service {
    name: "mariadb",
    variable: "MYSQL_URL",
    feature: "test-mysql",
    offsets: &[3],
    admin: None,
    package: "mariadb-server",
    signal: "TERM",
    url: |port| format!("mysql://root:onceward@127.0.0.1:{port}/onceward"),
    locate: || {
        paths::program("mariadb-install-db")?;
        paths::program("mariadbd")
    },
    prepare,
    alarm: None,
    ready: |port| probe::ask(port, b"", is_greeting),
};

/// Run at each start, so it says how things shall be. No host name is ever looked up, hence the addresses.
const LOGINS: &str = "\
CREATE DATABASE IF NOT EXISTS onceward;
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';
ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY 'onceward';
ALTER USER 'root'@'localhost' IDENTIFIED BY 'onceward';
GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
";

fn prepare(place: &Place<'_>) -> Result<Vec<Launch>> {
    let account = if paths::is_root() { Some(Account::named("mysql")?) } else { None };
    let data = match account {
        Some(_) => paths::shared_data(place.folder)?,
        None => place.folder.join("data"),
    };
    let told = |e| format!("{}: {e}", data.display());
    // It refuses root unless it is told whom to become.
    let user: &[&str] = if account.is_some() { &["--user=mysql"] } else { &[] };
    let logins = data.join("onceward.sql");
    // Written last: what a broken attempt left is made anew.
    if !logins.exists() {
        if data.exists() {
            fs::remove_dir_all(&data).map_err(told)?;
        }
        fs::create_dir_all(&data).map_err(told)?;
        if let Some(Account { uid, gid }) = account {
            chown(&data, Some(uid), Some(gid)).map_err(told)?;
        }
        let program = paths::program("mariadb-install-db").ok_or("mariadb-install-db is missing")?;
        Launch::new(program)
            .arg("--no-defaults")
            .args(user.iter().copied())
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .option("--datadir=", &data)
            .finish(&place.log())?;
    }
    fs::write(&logins, LOGINS).map_err(told)?;
    // `--no-defaults` must come first. The socket lies in the data folder, where a relative path cannot be too long.
    let server = Launch::new(place.server)
        .arg("--no-defaults")
        .args(user.iter().copied())
        .option("--datadir=", &data)
        .option("--init-file=", &logins)
        .args([&*format!("--port={}", place.port()), "--bind-address=127.0.0.1"])
        .args(["--socket=server.sock", "--pid-file=server.pid"])
        .args(["--skip-name-resolve", "--max-connections=300"])
        .args(if place.durable {
            ["--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"]
        } else {
            ["--innodb-flush-log-at-trx-commit=2", "--debug-no-sync"]
        });
    Ok(vec![server])
}

/// The server speaks first: three bytes of length, one of sequence, then protocol version 10 (255 is an error).
fn is_greeting(answer: &[u8]) -> bool {
    answer.get(4) == Some(&10)
}
