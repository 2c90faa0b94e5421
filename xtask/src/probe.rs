//! Short questions to a port: does anybody listen, who, and is it ready to serve?

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

/// Says something, if the protocol wants that, and judges the answer.
pub(crate) fn ask(port: u16, say: &[u8], good: impl Fn(&[u8]) -> bool) -> bool {
    converse(port, say).is_ok_and(|answer| good(&answer))
}

fn converse(port: u16, say: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(port)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(say)?;
    // The first packet of every protocol here fits, and arrives as one.
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// Does anything accept a connection?
pub(crate) fn listens(port: u16) -> bool {
    connect(port).is_ok()
}

fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)
}

/// Is the listener on `port` a socket of process `pid`? `None` where the kernel does not tell (a container without
/// the right to look at other accounts' descriptors).
pub(crate) fn listener_is(pid: u32, port: u16) -> Option<bool> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        inodes.extend(listeners(&fs::read_to_string(table).unwrap_or_default(), port));
    }
    let mut links = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
        links.push(fs::read_link(entry.ok()?.path()));
    }
    if links.iter().any(|link| link.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)) {
        return None;
    }
    let names: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    Some(links.iter().flatten().any(|link| names.iter().any(|name| link.as_os_str() == name.as_str())))
}

/// Inodes of the sockets that listen on `port`, from the kernel's table.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let of_port = format!(":{port:04X}");
    let rows = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&of_port) && row[3] == "0A")
        .map(|row| row[9].to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_told_from_a_connection() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:66BD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0
   1: 0100007F:66BD 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0
   2: 0100007F:66BE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0";
        assert_eq!(listeners(table, 0x66BD), ["4711"]);
    }

    #[test]
    fn our_own_listener_is_ours_and_not_another_process_s() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(listens(port));
        assert_eq!(listener_is(std::process::id(), port), Some(true));
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(listener_is(other.id(), port), Some(false));
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn silence_and_a_foreign_answer_are_not_ready() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = socket.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap();
        });
        assert!(!ask(port, b"PING\r\n", |answer| answer.starts_with(b"+PONG")));
        answering.join().unwrap();
        assert!(!listens(port));
    }
}
