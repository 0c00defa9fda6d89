//! Ways to the server on which answers are lost.
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, which have no use for all of them")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Listens between a store and the server at a port, and says where.
async fn way<F>(server: u16, passes: impl Fn(TcpStream, TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            tokio::spawn(passes(client, server));
        }
    });
    port
}

/// The commit with this number, from now on, arrives; its answer does not: the connection is cut instead, once the server is through
/// with it. None while it is 0.
pub(crate) async fn swallowing(server: u16, swallow: Arc<AtomicUsize>) -> u16 {
    way(server, move |client, server| {
        let swallow = swallow.clone();
        async move {
            between(client, server, swallow).await;
        }
    })
    .await
}

/// The same, and then the server is not reached any more.
pub(crate) async fn swallowing_the_last(server: u16, swallow: Arc<AtomicUsize>) -> u16 {
    let over = Arc::new(AtomicBool::new(false));
    way(server, move |client, server| {
        let (swallow, over) = (swallow.clone(), over.clone());
        async move {
            if over.load(Ordering::SeqCst) {
                return;
            }
            if between(client, server, swallow).await {
                over.store(true, Ordering::SeqCst);
            }
        }
    })
    .await
}

/// Whoever only asks whether the server is still there hears nothing any more, once this is set.
pub(crate) async fn silent_when_tried(server: u16, silent: Arc<AtomicBool>) -> u16 {
    const SYNC: &[u8] = b"S\0\0\0\x04";
    way(server, move |mut client, mut server| {
        let silent = silent.clone();
        async move {
            let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
            loop {
                let passed = tokio::select! {
                    read = client.read(&mut asked) => {
                        let Ok(n @ 1..) = read else { return };
                        if asked[..n] == *SYNC && silent.swap(false, Ordering::SeqCst) {
                            return std::future::pending().await;
                        }
                        server.write_all(&asked[..n]).await
                    }
                    read = server.read(&mut answered) => {
                        let Ok(n @ 1..) = read else { return };
                        client.write_all(&answered[..n]).await
                    }
                };
                if passed.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// Until one of them hangs up. Whether an answer was swallowed.
async fn between(mut client: TcpStream, mut server: TcpStream, swallow: Arc<AtomicUsize>) -> bool {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let passed = tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return false };
                // With its end: every transaction begins with a word about what is committed.
                let commits = asked[..n].windows(7).any(|w| w == b"COMMIT\0");
                let left = |n: usize| n.checked_sub(1);
                if commits && swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) == Ok(1) {
                    server.write_all(&asked[..n]).await.unwrap();
                    // It hangs up at the end of what was sent.
                    server.shutdown().await.unwrap();
                    let _ = server.read_to_end(&mut answered).await;
                    return true;
                }
                server.write_all(&asked[..n]).await
            }
            read = server.read(&mut answered) => {
                let Ok(n @ 1..) = read else { return false };
                client.write_all(&answered[..n]).await
            }
        };
        if passed.is_err() {
            return false;
        }
    }
}
