//! Pingora as a proxy with its own consistent hash, made as its documentation shows it: what Ringhold is measured beside.

use std::env;
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::http::RequestHeader;
use pingora::lb::LoadBalancer;
use pingora::lb::selection::Consistent;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error as PingoraError, ErrorType};

/// The same as Ringhold's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sends requests with equal keys to the same replica.
struct Proxy {
    replicas: Arc<LoadBalancer<Consistent>>,
    key: Key,
}

/// What is hashed.
enum Key {
    Header(String),
    Path,
}

/// `ringhold-bench-pingora THREADS ADDRESS (HEADER | path) REPLICAS [h2c | CERTIFICATE PRIVATE-KEY]`; `REPLICAS` with commas.
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [threads, address, key, replicas, rest @ ..] = arguments.as_slice() else {
        return Err("arguments are missing".into());
    };
    let key = if *key == "path" { Key::Path } else { Key::Header((*key).to_owned()) };
    let replicas = Arc::new(LoadBalancer::try_from_iter(replicas.split(','))?);

    let threads = threads.parse()?;
    // With one thread there is nobody to steal its tasks.
    let configuration = ServerConf {
        threads,
        work_stealing: threads > 1,
        // SIGTERM ends it at once, as it does the others.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Proxy { replicas, key });
    match rest {
        [] => service.add_tcp(address),
        ["h2c"] => {
            if let Some(proxy) = service.app_logic_mut() {
                let mut options = HttpServerOptions::default();
                options.h2c = true;
                proxy.server_options = Some(options);
            }
            service.add_tcp(address);
        }
        [certificate, private_key] => service.add_tls(address, certificate, private_key)?,
        _ => return Err("arguments are too many".into()),
    }
    server.add_service(service);
    server.run_forever()
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let request = session.req_header();
        let key = match &self.key {
            Key::Header(name) => request.headers.get(name).map_or(&b""[..], |value| value.as_bytes()),
            Key::Path => request.raw_path(),
        };
        let replica = self.replicas.select(key, 3).ok_or_else(|| PingoraError::new(ErrorType::ConnectNoRoute))?;
        Ok(Box::new(HttpPeer::new(replica, false, String::new())))
    }

    /// As the other proxies do.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> pingora::Result<()> {
        if let Some(SocketAddr::Inet(client)) = session.client_addr() {
            request.insert_header("X-Forwarded-For", client.ip().to_string())?;
        }
        Ok(())
    }
}
