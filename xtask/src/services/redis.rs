//! Redis, with its append-only file written every second.

use super::{Place, Service};
use crate::process::Launch;
use crate::{Result, paths, probe};

pub(crate) const SERVICE: Service = Service {
    name: "redis",
    variable: "REDIS_URL",
    feature: "test-redis",
    offsets: &[1],
    admin: None,
    package: "redis-server",
    signal: "TERM",
    url: |port| format!("redis://127.0.0.1:{port}/"),
    locate: || paths::program("redis-server"),
    prepare,
    alarm: None,
    ready: |port| probe::ask(port, b"PING\r\n", |answer| answer.starts_with(b"+PONG")),
};

fn prepare(place: &Place<'_>) -> Result<Vec<Launch>> {
    let data = place.folder.join("data");
    paths::open_folder(&data)?;
    let server = Launch::new(place.server)
        .args(["--port", &place.port(), "--bind", "127.0.0.1", "--daemonize", "no", "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--dir"])
        .arg(data);
    Ok(vec![server])
}
