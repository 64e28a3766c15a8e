//! TLS of both sides (configuration manual, 7.3.4).

pub(super) mod certificate;
pub(super) mod hello;
pub(super) mod secrets;
pub(super) mod session;

use crate::sample::EvalCtx;
use crate::sample::connection::{Connection, Tls};
use crate::sample::context::{LinkFacts, Socket};

/// The client's connection, or the server's.
pub(super) trait Side {
    fn connection<'a>(cx: &EvalCtx<'a>) -> Option<&'a Connection>;

    fn link<'a>(cx: &EvalCtx<'a>) -> Option<&'a LinkFacts>;

    fn socket<'a>(cx: &EvalCtx<'a>) -> Option<&'a dyn Socket>;

    fn tls<'a>(cx: &EvalCtx<'a>) -> Option<&'a Tls> {
        Self::connection(cx)?.tls.as_deref().map(Tls::by_now)
    }
}

pub(super) struct Front;
pub(super) struct Back;

impl Side for Front {
    fn connection<'a>(cx: &EvalCtx<'a>) -> Option<&'a Connection> {
        cx.session.map(|session| &session.connection)
    }

    fn link<'a>(cx: &EvalCtx<'a>) -> Option<&'a LinkFacts> {
        cx.session.map(|session| &**session.link.facts())
    }

    fn socket<'a>(cx: &EvalCtx<'a>) -> Option<&'a dyn Socket> {
        cx.client_socket
    }
}

impl Side for Back {
    fn connection<'a>(cx: &EvalCtx<'a>) -> Option<&'a Connection> {
        cx.server_connection
    }

    fn link<'a>(cx: &EvalCtx<'a>) -> Option<&'a LinkFacts> {
        cx.server_link
    }

    fn socket<'a>(cx: &EvalCtx<'a>) -> Option<&'a dyn Socket> {
        cx.server_socket
    }
}

/// Whose certificate.
trait Holder {
    fn der<'a>(cx: &EvalCtx<'a>) -> Option<&'a [u8]>;
}

struct Client;
struct Own;
struct Server;

impl Holder for Client {
    fn der<'a>(cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
        Front::tls(cx)?.peer.first().map(|der| &**der)
    }
}

impl Holder for Own {
    fn der<'a>(cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
        Front::tls(cx)?.own.as_deref()
    }
}

impl Holder for Server {
    fn der<'a>(cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
        Back::tls(cx)?.peer.first().map(|der| &**der)
    }
}
