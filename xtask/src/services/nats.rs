//! NATS with JetStream.

use super::{Place, Service};
use crate::process::Launch;
use crate::{Result, paths, probe};

pub(crate) const SERVICE: Service = Service {
    name: "nats",
    variable: "NATS_URL",
    feature: "test-nats",
    offsets: &[7],
    admin: None,
    package: "nats-server",
    signal: "TERM",
    url: |port| format!("nats://127.0.0.1:{port}"),
    locate: || paths::program("nats-server"),
    prepare,
    alarm: None,
    ready: |port| {
        probe::ask(port, b"", |answer| {
            let text = String::from_utf8_lossy(answer);
            text.starts_with("INFO {") && text.contains("\"jetstream\":true")
        })
    },
};

fn prepare(place: &Place<'_>) -> Result<Vec<Launch>> {
    let data = place.folder.join("data");
    paths::open_folder(&data)?;
    let server = Launch::new(place.server).args(["-a", "127.0.0.1", "-p", &place.port(), "-js", "-sd"]).arg(data);
    Ok(vec![server])
}
