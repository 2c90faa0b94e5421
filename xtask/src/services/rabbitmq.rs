//! RabbitMQ: nothing of it under `/etc` or `/var`, and its port mapper is a recorded process like any other.

use super::{Admin, Place, Service};
use crate::process::Launch;
use crate::{Result, paths, probe};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(crate) const SERVICE: Service = Service {
    name: "rabbitmq",
    variable: "AMQP_URL",
    feature: "test-rabbitmq",
    offsets: &[4, 5, 6, 8],
    admin: Some(Admin {
        variable: "AMQP_ADMIN_URL",
        port: 3,
        url: |port| format!("http://onceward:onceward@127.0.0.1:{port}"),
    }),
    package: "rabbitmq-server",
    signal: "TERM",
    url: |port| format!("amqp://onceward:onceward@127.0.0.1:{port}/%2f"),
    locate,
    prepare,
    alarm: Some(alarm),
    ready: |port| probe::ask(port, b"AMQP\0\0\x09\x01", is_connection_start),
};

/// How much memory it may have before it raises an alarm.
const MEMORY: &str = "2GB";

/// Not `/usr/sbin/rabbitmq-server`, which changes to an account and folders of its own.
fn locate() -> Option<PathBuf> {
    paths::program("epmd")?;
    let server = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    paths::executable(&server).then_some(server)
}

fn prepare(place: &Place<'_>) -> Result<Vec<Launch>> {
    let &[port, distribution, mapper, admin] = place.ports else { return Err("four ports".to_owned()) };
    let write = |name: &str, text: &str| {
        let file = place.folder.join(name);
        fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display())).map(|()| file)
    };
    let config = write(
        "rabbitmq.conf",
        &format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\n\
             default_user = onceward\ndefault_pass = onceward\nlog.file.level = warning\n\
             disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = {MEMORY}\n\
             management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {admin}\nmanagement.disable_stats = true\n"
        ),
    )?;
    let plugins = write("enabled_plugins", "[rabbitmq_management].\n")?;
    write("env.conf", "")?;
    write_cookie(&place.folder.join(".erlang.cookie"))?;
    let epmd = paths::program("epmd").ok_or("epmd is missing")?;
    // In the foreground: the server would start one in the background that outlives it.
    let epmd = Launch::new(epmd).args(["-address", "127.0.0.1", "-port", &mapper.to_string()]);
    let server = node(Launch::new(place.server), place.folder, port, mapper)
        // Makes the script become the server instead of watching over it: one process, one pid.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("RABBITMQ_CONFIG_FILE", config)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .env("RABBITMQ_MNESIA_BASE", place.folder.join("data"))
        .env("RABBITMQ_LOG_BASE", place.folder.join("logs"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_PID_FILE", place.folder.join("beam.pid"))
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
    Ok(vec![epmd, server])
}

/// What the server's programs need to find this node.
fn node(launch: Launch, folder: &Path, port: u16, mapper: u16) -> Launch {
    launch
        .env("HOME", folder)
        .env("ERL_EPMD_PORT", mapper.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODENAME", format!("onceward{port}@localhost"))
        .env("RABBITMQ_CONF_ENV_FILE", folder.join("env.conf"))
}

fn alarm(place: &Place<'_>, clear: bool) -> Result<Launch> {
    let &[port, _, mapper, _] = place.ports else { return Err("four ports".to_owned()) };
    let control = node(Launch::new(place.server.with_file_name("rabbitmqctl")), place.folder, port, mapper);
    let most = if clear { MEMORY } else { "1" };
    Ok(control.args(["set_vm_memory_high_watermark", "absolute", most]))
}

/// Erlang's secret between nodes; readable by its owner only, or the server refuses it.
fn write_cookie(file: &Path) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    let told = |e| format!("{}: {e}", file.display());
    let mut random = [0; 20];
    let source = fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random));
    source.map_err(|e| format!("/dev/urandom: {e}"))?;
    let cookie: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut open = fs::OpenOptions::new();
    open.write(true).create_new(true).mode(0o400);
    open.open(file).and_then(|mut file| file.write_all(cookie.as_bytes())).map_err(told)
}

/// A method frame on channel 0 with class 10, method 10; a server of another protocol version answers with `AMQP`.
fn is_connection_start(answer: &[u8]) -> bool {
    answer.starts_with(&[1, 0, 0]) && answer.get(7..11) == Some(&[0, 10, 0, 10])
}
