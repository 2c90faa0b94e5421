//! A loopback port that stays ours while nobody listens on it.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Keeps the port by a socket that is bound and never listens: connecting is then refused, and the port cannot go to
/// another process in the meantime.
pub(super) struct Port {
    _holder: TcpSocket,
    addr: SocketAddr,
}

impl Port {
    pub(super) fn reserve() -> Self {
        let holder = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let addr = holder.local_addr().expect("a bound socket has an address");
        Self { _holder: holder, addr }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn listen(&self) -> TcpListener {
        bound(self.addr).listen(1024).expect("the reserved port can be listened on")
    }
}

fn bound(addr: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("two sockets on one port");
    socket.bind(addr).expect("a loopback port");
    socket
}
