//! Telling recipients over https: the [`HttpsChannel`].

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures_channel::oneshot;
use privet::consent::{DeliveryProblem, DeliveryRequest, RecipientChannel};
use privet::ip::is_public;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// A recipient has so long to answer, with everything before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells recipients of withdrawals by POST over https, and is no way into the operator's own network:
///
/// - the name of an endpoint is resolved once, every address that comes of it has to be on the Internet, and the
///   connection goes to an address that was looked at, so that a name cannot lead elsewhere a moment later;
/// - no redirect is followed, no proxy of the environment is used, and of the answer only the status is read;
/// - where it goes is what the catalogue names, and nothing else.
///
/// ```no_run
/// # use privet::{Catalogue, Privet};
/// # async fn build(catalogue: Catalogue) -> privet::Result<Privet> {
/// Privet::builder(catalogue).recipient_channel(privet_web::HttpsChannel::new()).build().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HttpsChannel {
    agent: Agent,
}

impl Default for HttpsChannel {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpsChannel {
    /// A channel with the system's resolver and the usual roots of trust.
    #[must_use]
    pub fn new() -> Self {
        Self::with(config().build(), Public { names: DefaultResolver::default(), also: Vec::new() })
    }

    fn with(config: Config, resolver: impl Resolver) -> Self {
        Self { agent: Agent::with_parts(config, DefaultConnector::default(), resolver) }
    }
}

fn config() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .https_only(true)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .max_idle_connections(0)
        .user_agent("privet")
}

/// Resolves names to addresses on the Internet only.
#[derive(Debug)]
struct Public<R> {
    names: R,
    /// Addresses that tests listen on; nothing sets them elsewhere.
    also: Vec<SocketAddr>,
}

impl<R: Resolver> Resolver for Public<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        // One that is not is one too many: whoever names both wants the other.
        if found.iter().all(|addr| is_public(addr.ip()) || self.also.contains(addr)) {
            Ok(found)
        } else {
            let why = "its name leads to an address that is not on the Internet";
            Err(Error::Io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, why)))
        }
    }
}

fn problem(error: &Error) -> DeliveryProblem {
    match error {
        Error::Io(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            DeliveryProblem::NotAllowed(e.to_string())
        }
        Error::RequireHttpsOnly(_) => DeliveryProblem::NotAllowed("it is not https".to_owned()),
        Error::BadUri(_) | Error::Http(_) => DeliveryProblem::NotAllowed("its URL is none".to_owned()),
        Error::Timeout(_) => DeliveryProblem::Unreachable("it did not answer in time".to_owned()),
        Error::HostNotFound => DeliveryProblem::Unreachable("its name is not known".to_owned()),
        Error::Io(e) => DeliveryProblem::Unreachable(e.kind().to_string()),
        Error::Tls(_) | Error::Rustls(_) => DeliveryProblem::Unreachable("no trusted connection".to_owned()),
        _ => DeliveryProblem::Unreachable("the exchange failed".to_owned()),
    }
}

/// What can be seen of an endpoint before its name is resolved, whatever the catalogue let pass: it is https, and nobody is
/// sent a name and a password.
fn check(endpoint: &str) -> Result<(), DeliveryProblem> {
    let none = |why: &str| Err(DeliveryProblem::NotAllowed(why.to_owned()));
    let Ok(uri) = endpoint.parse::<Uri>() else { return none("its URL is none") };
    match (uri.scheme_str(), uri.authority()) {
        (Some("https"), Some(authority)) if authority.as_str().contains('@') => none("its URL has a user"),
        (Some("https"), Some(_)) => Ok(()),
        _ => none("it is not https"),
    }
}

fn send(agent: &Agent, request: &DeliveryRequest) -> Result<(), DeliveryProblem> {
    check(&request.endpoint)?;
    let headers = request.headers.iter();
    let post = headers.fold(agent.post(&request.endpoint), |post, (name, value)| post.header(*name, value));
    let answer = post.send(&request.body).map_err(|e| problem(&e))?;
    if answer.status().is_success() { Ok(()) } else { Err(DeliveryProblem::Status(answer.status().as_u16())) }
}

#[async_trait]
impl RecipientChannel for HttpsChannel {
    async fn deliver(&self, request: &DeliveryRequest) -> Result<(), DeliveryProblem> {
        let (answer, answered) = oneshot::channel();
        let (agent, request) = (self.agent.clone(), request.clone());
        // A thread of its own: no runtime is promised here, and a recipient may be slow.
        let sending = std::thread::Builder::new().name("privet-webhook".to_owned()).spawn(move || {
            let _ = answer.send(send(&agent, &request));
        });
        sending.map_err(|_| DeliveryProblem::Unreachable("no thread to send it".to_owned()))?;
        answered.await.unwrap_or_else(|_| Err(DeliveryProblem::Unreachable("its thread is gone".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, mpsc};

    use privet::conformance::block_on;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use ureq::tls::{Certificate, RootCerts, TlsConfig};

    use super::*;

    /// Names that lead where a test wants.
    #[derive(Clone, Debug)]
    struct Names(Vec<SocketAddr>, Arc<AtomicUsize>);

    impl Resolver for Names {
        fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            self.1.fetch_add(1, Ordering::SeqCst);
            let mut found = self.empty();
            self.0.iter().for_each(|addr| found.push(*addr));
            Ok(found)
        }
    }

    /// A recipient on this machine that answers each request with a line, and keeps what it got.
    struct Recipient {
        at: SocketAddr,
        root: Vec<u8>,
        got: Arc<Mutex<Vec<String>>>,
        counted: mpsc::Receiver<usize>,
    }

    impl Recipient {
        /// How many connections were made so far. Asked by a connection: they are taken one after the other, in the order
        /// they were made, so that none is missed that is under way.
        fn connections(&self) -> usize {
            TcpStream::connect(self.at).unwrap().write_all(b"?").unwrap();
            self.counted.recv().unwrap()
        }
    }

    fn recipient(answer: &'static str) -> Recipient {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["partner.example".to_owned()]).unwrap();
        let root = cert.der().to_vec();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(root.clone())], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, got) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (kept, (count, counted)) = (got.clone(), mpsc::channel());
        std::thread::spawn(move || {
            let (config, mut connections) = (Arc::new(config), 0);
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let mut first = [0];
                if stream.peek(&mut first).is_ok_and(|n| n == 1) && first == *b"?" {
                    let _ = count.send(connections);
                    continue;
                }
                connections += 1;
                let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                let (mut request, mut buffer) = (String::new(), [0; 4096]);
                while !request.ends_with('}') {
                    match tls.read(&mut buffer) {
                        Ok(n) if n > 0 => request.push_str(&String::from_utf8_lossy(&buffer[..n])),
                        _ => break,
                    }
                }
                kept.lock().unwrap().push(request);
                let _ = tls.write_all(answer.as_bytes());
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        });
        Recipient { at, root, got, counted }
    }

    fn channel(
        names: Vec<SocketAddr>,
        also: Vec<SocketAddr>,
        root: &[u8],
    ) -> (HttpsChannel, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let roots = RootCerts::new_with_certs(&[Certificate::from_der(root).to_owned()]);
        let config = config().tls_config(TlsConfig::builder().root_certs(roots).build()).build();
        (HttpsChannel::with(config, Public { names: Names(names, asked.clone()), also }), asked)
    }

    fn request(endpoint: &str) -> DeliveryRequest {
        DeliveryRequest::new(
            endpoint,
            "{\"type\":\"consent.withdrawn\"}",
            vec![("webhook-id", "msg_1".to_owned())],
        )
    }

    const OK: &str = "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    /// WDR-04: over a trusted connection to an address that was looked at, with the body and the headers.
    #[test]
    fn wdr_04_a_recipient_is_told_over_https() {
        let partner = recipient(OK);
        let (channel, asked) = channel(vec![partner.at], vec![partner.at], &partner.root);
        block_on(channel.deliver(&request("https://partner.example/withdrawals?x=1"))).unwrap();
        let got = partner.got.lock().unwrap().join("");
        assert!(got.starts_with("POST /withdrawals?x=1 HTTP/1.1\r\n"), "{got}");
        assert!(got.contains("webhook-id: msg_1\r\n") && got.ends_with("{\"type\":\"consent.withdrawn\"}"));
        assert!(!got.to_lowercase().contains("cookie"));
        assert_eq!((asked.load(Ordering::SeqCst), partner.connections()), (1, 1), "resolved once");
    }

    /// WDR-04: what is no success is none: errors, and redirects, which are not followed.
    #[test]
    fn wdr_04_only_success_is_success() {
        for (answer, status) in [
            ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 500),
            (
                "HTTP/1.1 302 Found\r\nlocation: https://partner.example/other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                302,
            ),
            (
                "HTTP/1.1 307 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                307,
            ),
            ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 410),
        ] {
            let partner = recipient(answer);
            let (channel, asked) = channel(vec![partner.at], vec![partner.at], &partner.root);
            let told = block_on(channel.deliver(&request("https://partner.example/w")));
            assert_eq!(told, Err(DeliveryProblem::Status(status)));
            assert_eq!((asked.load(Ordering::SeqCst), partner.connections()), (1, 1), "{status}");
        }
    }

    /// WDR-04: no way into the operator's network: no name that leads there, not among others either, no other scheme, no
    /// certificate that nobody trusts. Nothing arrives.
    #[test]
    fn wdr_04_nothing_reaches_what_is_not_public() {
        let partner = recipient(OK);
        let listens = partner.at;
        let somewhere: SocketAddr = "9.9.9.9:443".parse().unwrap();
        let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", listens.port()).parse().unwrap();
        for names in [
            vec![listens],
            vec![somewhere, listens],
            vec![listens, somewhere],
            vec![mapped],
            vec!["10.0.0.1:443".parse().unwrap()],
            vec!["169.254.169.254:443".parse().unwrap()],
            vec!["[::1]:443".parse().unwrap()],
            vec!["[fd00::1]:443".parse().unwrap()],
            vec!["100.64.0.1:443".parse().unwrap()],
            vec!["0.0.0.0:443".parse().unwrap()],
            vec!["[64:ff9b::7f00:1]:443".parse().unwrap()],
            vec!["[2002:7f00:1::]:443".parse().unwrap()],
        ] {
            let (channel, _) = channel(names.clone(), Vec::new(), &partner.root);
            let told = block_on(channel.deliver(&request("https://partner.example/w")));
            assert!(matches!(told, Err(DeliveryProblem::NotAllowed(_))), "{names:?}: {told:?}");
        }
        let (channel_here, asked) = channel(vec![listens], vec![listens], &partner.root);
        let http = format!("http://127.0.0.1:{}/w", listens.port());
        for endpoint in [
            http.as_str(),
            "ftp://partner.example/w",
            "partner.example",
            "",
            "https://",
            "https://user@partner.example/w",
            "https://partner.example:443@partner.example/w",
        ] {
            let told = block_on(channel_here.deliver(&request(endpoint)));
            assert!(matches!(told, Err(DeliveryProblem::NotAllowed(_))), "{endpoint}: {told:?}");
        }
        // With the real resolver, in every way of writing it.
        for host in ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"] {
            let endpoint = format!("https://{host}:{}/w", listens.port());
            let told = block_on(HttpsChannel::new().deliver(&request(&endpoint)));
            assert!(told.is_err(), "{endpoint}: {told:?}");
            assert!(!matches!(told, Err(DeliveryProblem::Status(_))), "{endpoint}: {told:?}");
        }
        assert_eq!((asked.load(Ordering::SeqCst), partner.connections()), (0, 0));
        let stranger = recipient(OK);
        let (channel, _) = channel(vec![stranger.at], vec![stranger.at], &partner.root);
        let told = block_on(channel.deliver(&request("https://partner.example/w")));
        assert!(matches!(told, Err(DeliveryProblem::Unreachable(_))), "{told:?}");
        assert!(!stranger.got.lock().unwrap().iter().any(|got| got.contains("withdrawn")));
    }
}
