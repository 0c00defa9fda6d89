//! An HTTP client that sends the bytes it is told, from the address it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use privet::consent::RecordId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn cookies(&self) -> Vec<&str> {
        self.all("set-cookie")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// A request, sent as it is.
#[derive(Clone, Debug)]
pub struct Sending {
    head: Vec<u8>,
    body: Vec<u8>,
    from: Option<SocketAddr>,
}

impl Sending {
    pub fn new(method: &str, path: &str) -> Self {
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n").into_bytes();
        Self { head, body: Vec::new(), from: None }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend(name.as_bytes());
        self.head.extend(b": ");
        self.head.extend(value.as_ref());
        self.head.extend(b"\r\n");
        self
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// A form from a page of the site.
    pub fn form(path: &str, form: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path)
            .header("sec-fetch-site", "same-origin")
            .body("application/x-www-form-urlencoded", form)
    }

    pub fn json(path: &str, json: &serde_json::Value) -> Self {
        Self::new("POST", path)
            .header("sec-fetch-site", "same-origin")
            .body("application/json", json.to_string())
    }

    /// From another address of the loopback network: another peer.
    pub fn from(mut self, ip: [u8; 4]) -> Self {
        self.from = Some(SocketAddr::from((ip, 0)));
        self
    }

    pub async fn try_to(self, addr: SocketAddr) -> std::io::Result<Response> {
        let exchange = async move {
            let socket = TcpSocket::new_v4()?;
            if let Some(from) = self.from {
                socket.bind(from)?;
            }
            let mut stream = socket.connect(addr).await?;
            let mut bytes = self.head;
            bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
            bytes.extend(self.body);
            // A server that refuses may answer before it has read all.
            let written = stream.write_all(&bytes).await;
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer).await;
            match read_response(&answer) {
                Some(response) => Ok(response),
                None => Err(written
                    .err()
                    .or(read.err())
                    .unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into())),
            }
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    pub async fn to(self, addr: SocketAddr) -> Response {
        self.try_to(addr).await.expect("the server answers")
    }
}

fn read_response(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v.contains("chunked"));
    let body = &bytes[end + 4..];
    Some(Response { status, headers, body: if chunked { unchunked(body) } else { body.to_vec() } })
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&bytes[..end]).trim(), 16).unwrap_or(0);
        let from = end + 2;
        if size == 0 || bytes.len() < from + size {
            break;
        }
        body.extend(&bytes[from..from + size]);
        bytes = &bytes[from + size + 2..];
    }
    body
}

/// A visitor: cookies, an address, and what is sent with each request.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub addr: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    pub from: [u8; 4],
    pub forwarded_for: Option<String>,
}

impl Visitor {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, cookies: BTreeMap::new(), from: [127, 0, 0, 1], forwarded_for: None }
    }

    pub fn behind_proxy(mut self, proxy: [u8; 4], address: &str) -> Self {
        self.from = proxy;
        self.forwarded_for = Some(address.to_owned());
        self
    }

    pub async fn try_send(&mut self, mut request: Sending) -> std::io::Result<Response> {
        let cookies: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some(address) = &self.forwarded_for {
            request = request.header("x-forwarded-for", address);
        }
        let response = request.from(self.from).try_to(self.addr).await?;
        for line in response.cookies() {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(response)
    }

    pub async fn send(&mut self, request: Sending) -> Response {
        self.try_send(request).await.expect("the server answers")
    }

    pub async fn get(&mut self, path: &str) -> Response {
        self.send(Sending::get(path)).await
    }

    /// The record that the consent cookie stands on: after version, regime and day (see `privet::consent::cookie`). None while
    /// nothing is granted.
    pub fn record(&self) -> Option<RecordId> {
        let cookie = self.cookies.get("__Host-privet")?;
        let bytes = BASE64URL_NOPAD.decode(cookie.as_bytes()).expect("a cookie of privet's");
        (bytes[0] & 1 == 1).then(|| RecordId::from_bytes(bytes[4..20].try_into().expect("sixteen bytes")))
    }

    /// The state as a script reads it.
    pub async fn state(&mut self) -> serde_json::Value {
        self.get("/privacy/consent").await.json()
    }

    pub async fn token(&mut self) -> String {
        self.state().await["notice"].as_str().expect("a token").to_owned()
    }

    pub async fn decide(&mut self, action: &str, categories: &[&str]) -> Response {
        let token = self.token().await;
        let named: String = categories.iter().map(|c| format!("&category={c}")).collect();
        self.send(Sending::form("/privacy/consent", format!("action={action}&notice={token}{named}"))).await
    }

    pub async fn withdraw(&mut self) -> Response {
        self.send(Sending::form("/privacy/withdraw", "")).await
    }

    pub async fn say(&mut self, text: &str, channel: &str) -> Response {
        let body = serde_json::json!({ "text": text, "channel": channel, "page": "http://127.0.0.1/articles/roses?q=1" });
        self.send(Sending::json("/chat/messages", &body)).await
    }
}
