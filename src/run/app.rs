//! The proxy as the gate calls it: with limits that a reload changes, over connections to upstreams
//! that it does not touch.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;

use crate::config::{Limits, Timeouts};
use crate::proxy::Proxy;

/// HTTP/2 streams that a client has reset and that are still remembered; a client that resets
/// faster loses its connection (CVE-2023-44487).
const H2_RESET_STREAMS: usize = 32;
/// The connection's receive window, in stream windows.
const H2_CONNECTION_WINDOWS: u32 = 4;

/// The framework's proxy, and how it speaks HTTP/2.
pub(super) struct ProxyApp {
    /// Holds the pool of upstream connections, which is therefore the same before and after a
    /// change of limits.
    proxy: Arc<HttpProxy<Proxy>>,
    server_options: HttpServerOptions,
    h2_options: H2Options,
}

impl ProxyApp {
    pub(super) fn new(
        conf: ServerConf,
        proxy: Proxy,
        limits: &Limits,
        timeouts: &Timeouts,
    ) -> Self {
        let mut proxy = http_proxy(&Arc::new(conf), proxy);
        proxy.server_options = Some(server_options(timeouts));
        Self::around(Arc::new(proxy), limits, timeouts)
    }

    /// The same proxy within other limits.
    pub(super) fn with_limits(&self, limits: &Limits, timeouts: &Timeouts) -> Self {
        Self::around(self.proxy.clone(), limits, timeouts)
    }

    fn around(proxy: Arc<HttpProxy<Proxy>>, limits: &Limits, timeouts: &Timeouts) -> Self {
        Self {
            proxy,
            server_options: server_options(timeouts),
            h2_options: h2_options(limits),
        }
    }
}

#[async_trait]
impl HttpServerApp for ProxyApp {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.proxy.process_new_http(session, shutdown).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.h2_options.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.server_options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

fn server_options(timeouts: &Timeouts) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    // Refused by us, with an OCI error; the framework's own refusal has no body.
    options.allow_connect_method_proxying = true;
    options.h2_idle_timeout = Some(timeouts.keepalive);
    options
}

fn h2_options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(limits.h2_streams)
        .max_concurrent_reset_streams(H2_RESET_STREAMS)
        .max_pending_accept_reset_streams(H2_RESET_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_window_size(limits.h2_window)
        .initial_connection_window_size(limits.h2_window.saturating_mul(H2_CONNECTION_WINDOWS));
    options
}
