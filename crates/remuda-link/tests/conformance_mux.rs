//! The multiplexer over memory and over loopback TCP.

mod conformance;

use conformance::peer;
use remuda_link::{Link, MuxConfig, Side};
use remuda_model::Role;
use tokio::io::{AsyncRead, AsyncWrite};

fn start<Io: AsyncRead + AsyncWrite + Send + Unpin + 'static>(here: Io, there: Io) -> (Link, Link) {
    let config = MuxConfig::default();
    (
        Link::start_mux(here, Side::Dialer, peer(Role::Control, true), config),
        Link::start_mux(there, Side::Listener, peer(Role::Worker, false), config),
    )
}

mod memory {
    fn pair() -> (remuda_link::Link, remuda_link::Link) {
        let (here, there) = tokio::io::duplex(64 * 1024);
        super::start(here, there)
    }

    crate::conformance::suite!(async { pair() });
}

mod tcp {
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (remuda_link::Link, remuda_link::Link) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (here, there) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (here, (there, _)) = (here.expect("loopback"), there.expect("loopback"));
        here.set_nodelay(true).expect("a socket");
        there.set_nodelay(true).expect("a socket");
        super::start(here, there)
    }

    crate::conformance::suite!(pair());
}
