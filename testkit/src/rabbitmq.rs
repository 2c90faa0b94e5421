//! A RabbitMQ virtual host per test.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::namespace::is_leftover;
use crate::proxy::split;
use crate::{Lent, namespace, teardown, url};

/// Creates an empty virtual host at `AMQP_URL`, by way of the server's management plugin at `AMQP_ADMIN_URL`, and sweeps
/// those that test runs left there more than an hour ago.
///
/// # Panics
/// If a variable is absent or the server refuses.
///
/// ```no_run
/// # async fn example() {
/// let host = testkit::rabbitmq::virtual_host().await;
/// // connect to host.url() ..
/// # }
/// ```
pub async fn virtual_host() -> Lent {
    let (server, admin) = (url("AMQP_URL"), url("AMQP_ADMIN_URL"));
    let name = namespace();
    sweep(&admin).await;
    if let Err(error) = call(&admin, "PUT", &format!("/api/vhosts/{name}")).await {
        panic!("AMQP_ADMIN_URL: {error}; are the services up (`cargo xtask up`)?");
    }
    let (before, place, _) = split(&server);
    Lent::new(name.clone(), format!("{before}{place}/{name}"), move || {
        teardown::blocking("deleting a test's virtual host", remove(admin.clone(), name.clone()));
    })
}

async fn remove(admin: String, name: String) -> Result<(), String> {
    call(&admin, "DELETE", &format!("/api/vhosts/{name}")).await.map(drop)
}

async fn sweep(admin: &str) {
    let list = call(admin, "GET", "/api/vhosts?columns=name").await.unwrap_or_default();
    let now = SystemTime::now();
    // `[{"name":"…"},…]`, and a name of ours has nothing to escape.
    for name in list.split('"').filter(|name| is_leftover(name, now)) {
        // Another test may be faster.
        let _ = call(admin, "DELETE", &format!("/api/vhosts/{name}")).await;
    }
}

/// One request to the management plugin; the body of a good answer.
async fn call(admin: &str, method: &str, path: &str) -> Result<String, String> {
    let (before, place, _) = split(admin);
    let login = before.split_once("://").map_or("", |(_, login)| login).trim_end_matches('@');
    let login = STANDARD.encode(login);
    let request = format!(
        "{method} {path} HTTP/1.0\r\nauthorization: Basic {login}\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n"
    );
    let talk = async {
        let mut stream = TcpStream::connect(place).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    let answer = talk.await.map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') {
        Ok(body.to_owned())
    } else {
        Err(format!("{method} {path}: {}", head.lines().next().unwrap_or_default()))
    }
}

#[cfg(all(test, feature = "test-rabbitmq"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn leftovers_of_dead_runs_are_swept() {
        let (admin, old) = (url("AMQP_ADMIN_URL"), "t000001_0123456789");
        call(&admin, "PUT", &format!("/api/vhosts/{old}")).await.unwrap();
        let mine = virtual_host().await;
        let list = call(&admin, "GET", "/api/vhosts?columns=name").await.unwrap();
        assert!(!list.contains(old) && list.contains(mine.name()), "{list}");
    }
}
