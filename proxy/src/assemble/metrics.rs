//! The metrics service of `http-request use-service prometheus-exporter`.

use std::sync::Arc;

use proxy_admin::metrics::Exporter;
use proxy_admin::outside::Source;
use proxy_http::{BodyLen, ResponseHead};
use proxy_state::{Now, Registry};
use proxy_stream::reply::{self, Reply};
use proxy_stream::service::{Service, ServiceRequest};

use super::stats;

/// The service; what only the control thread knows comes from `source`.
pub(crate) fn service(registry: Arc<Registry>, source: Box<dyn Source>) -> Arc<dyn Service> {
    Arc::new(Metrics(Exporter { registry, product: stats::product(), source }))
}

struct Metrics(Exporter);

impl Service for Metrics {
    fn name(&self) -> &'static str {
        "PROMEX"
    }

    fn answer(&self, request: &ServiceRequest, now: Now) -> Reply {
        let target = String::from_utf8_lossy(&request.target);
        match self.0.answer(&target, now) {
            Ok(text) => {
                let mut head = ResponseHead::default();
                head.start(200, BodyLen::None);
                head.headers_mut().append(b"cache-control", b"no-cache");
                head.headers_mut().append(b"content-type", b"text/plain; version=0.0.4");
                head.headers_mut().append(b"content-length", text.len().to_string().as_bytes());
                Reply::made(head, text.into_bytes())
            }
            Err(_) => reply::builtin(400),
        }
    }
}
