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

/// What becomes of something that is asked.
enum Fate {
    Passes,
    /// It arrives, and the connection is cut once the server is through with it.
    Unanswered,
    /// It does not arrive, and nothing more is said.
    Silence,
}

/// Until one of them hangs up. Whether an answer was swallowed.
async fn between(mut client: TcpStream, mut server: TcpStream, fate: impl Fn(&[u8]) -> Fate) -> bool {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let passed = tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return false };
                match fate(&asked[..n]) {
                    Fate::Passes => server.write_all(&asked[..n]).await,
                    Fate::Unanswered => {
                        server.write_all(&asked[..n]).await.unwrap();
                        // It hangs up at the end of what was sent.
                        server.shutdown().await.unwrap();
                        let _ = server.read_to_end(&mut answered).await;
                        return true;
                    }
                    Fate::Silence => return std::future::pending().await,
                }
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

/// The commit with this number has no answer.
fn unanswered(asked: &[u8], swallow: &AtomicUsize) -> Fate {
    // With its end: every transaction begins with a word about what is committed.
    let commits = asked.windows(7).any(|w| w == b"COMMIT\0");
    let left = |n: usize| n.checked_sub(1);
    if commits && swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) == Ok(1) {
        Fate::Unanswered
    } else {
        Fate::Passes
    }
}

/// The commit with this number, from now on, arrives; its answer does not. None while it is 0.
pub(crate) async fn swallowing(server: u16, swallow: Arc<AtomicUsize>) -> u16 {
    way(server, move |client, server| {
        let swallow = swallow.clone();
        async move {
            between(client, server, |asked| unanswered(asked, &swallow)).await;
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
            if !over.load(Ordering::SeqCst)
                && between(client, server, |asked| unanswered(asked, &swallow)).await
            {
                over.store(true, Ordering::SeqCst);
            }
        }
    })
    .await
}

/// Whoever only asks whether the server is still there hears nothing any more, once this is set.
pub(crate) async fn silent_when_tried(server: u16, silent: Arc<AtomicBool>) -> u16 {
    const SYNC: &[u8] = b"S\0\0\0\x04";
    way(server, move |client, server| {
        let silent = silent.clone();
        async move {
            let fate = |asked: &[u8]| {
                if asked == SYNC && silent.swap(false, Ordering::SeqCst) {
                    Fate::Silence
                } else {
                    Fate::Passes
                }
            };
            between(client, server, fate).await;
        }
    })
    .await
}
