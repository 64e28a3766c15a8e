//! The formats that options choose, and lines that have no format (configuration manual, 8.2.1 to 8.2.5).

use proxy_types::Mode;

use crate::sample::EvalCtx;
use crate::sample::def::Out;

/// `option tcplog`; also in `HAPROXY_TCP_LOG_FMT`.
pub const TCP: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";

/// `option tcplog clf`; also in `HAPROXY_TCP_CLF_LOG_FMT`.
pub const TCP_CLF: &str = "%{+Q}o %{-Q}ci - - [%T] \"TCP \" 000 %B \"\" \"\" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U \
     %ts-- %ac %fc %bc %sc %rc %sq %bq \"\" \"\" ";

/// `option httplog`; also in `HAPROXY_HTTP_LOG_FMT`.
pub const HTTP: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc \
     %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";

/// `option httpslog`; also in `HAPROXY_HTTPS_LOG_FMT`.
pub const HTTPS: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc \
     %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r \
     %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] \
     %[ssl_fc_sni]/%sslv/%sslc";

/// `option httplog clf`; also in `HAPROXY_HTTP_CLF_LOG_FMT`.
pub const HTTP_CLF: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc \
     %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";

/// Appends the line of a proxy without a format, made when the connection is accepted.
pub fn connect_line(out: &mut Out<'_>, cx: &EvalCtx<'_>) {
    let Some(session) = cx.session else { return };
    let end = |out: &mut Out<'_>, addr: Option<std::net::SocketAddr>| match addr {
        Some(addr) => push(out, format_args!("{}:{}", addr.ip(), addr.port())),
        None => push(out, format_args!("unix:{}", session.listener.id)),
    };
    out.extend_from_slice(b"Connect from ");
    end(out, session.src);
    out.extend_from_slice(b" to ");
    end(out, session.dst);
    let (name, mode) = cx.frontend.map_or(("", Mode::Tcp), |f| (&*f.name, f.mode));
    let mode = match mode {
        Mode::Http => "HTTP",
        Mode::Log | Mode::Tcp => "TCP",
        Mode::Udp => "UDP",
    };
    push(out, format_args!(" ({name}/{mode})"));
}

/// Appends the line of a connection that failed before it had a stream: `message` says how.
pub fn error_line(out: &mut Out<'_>, cx: &EvalCtx<'_>, message: &str) {
    let Some(session) = cx.session else { return };
    match session.src {
        Some(addr) => push(out, format_args!("{}:{}", addr.ip(), addr.port())),
        None => push(out, format_args!("unix:{}", session.listener.id)),
    }
    out.extend_from_slice(b" [");
    let local = session.accepted.secs.saturating_add(i64::from(cx.clock.utc_offset));
    out.extend_from_slice(&crate::date::Civil::log_at(local));
    let name = cx.frontend.map_or("", |f| &*f.name);
    push(
        out,
        format_args!(
            ".{:03}] {name}/{}: {message}",
            session.accepted.usec / 1000,
            session.listener.name
        ),
    );
}

fn push(out: &mut Out<'_>, text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // Writing to memory cannot fail.
    let _ = out.write_fmt(text);
}
