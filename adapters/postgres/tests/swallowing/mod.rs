//! A way to the server on which the answer to a commit is lost.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Listens between a store and the server at a port, and says where. The commit with this number, from now on, arrives; its answer
/// does not: the connection is cut instead, once the server is through with it. None while it is 0.
pub(crate) async fn swallowing(server: u16, swallow: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            tokio::spawn(between(client, server, swallow.clone()));
        }
    });
    port
}

/// Until one of them hangs up.
async fn between(mut client: TcpStream, mut server: TcpStream, swallow: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let passed = tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return };
                // With its end: every transaction begins with a word about what is committed.
                let commits = asked[..n].windows(7).any(|w| w == b"COMMIT\0");
                let left = |n: usize| n.checked_sub(1);
                if commits && swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) == Ok(1) {
                    server.write_all(&asked[..n]).await.unwrap();
                    // It hangs up at the end of what was sent.
                    server.shutdown().await.unwrap();
                    let _ = server.read_to_end(&mut answered).await;
                    return;
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
