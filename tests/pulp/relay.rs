//! A wire to Pulp that can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on, counts what is sent to Pulp, and ends all of them when it was enough.
pub struct Relay {
    address: std::net::SocketAddr,
    wire: Arc<Wire>,
}

struct Wire {
    to: String,
    sent: AtomicU64,
    /// What may still be sent in all before it is cut.
    most: AtomicU64,
    cut: watch::Sender<bool>,
}

impl Relay {
    pub async fn start(to: String) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire {
            to,
            sent: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
            cut: watch::Sender::new(false),
        });
        let passed = wire.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let wire = passed.clone();
                tokio::spawn(async move {
                    let mut cut = wire.cut.subscribe();
                    let is_cut = async { cut.wait_for(|cut| *cut).await.map(drop) };
                    tokio::select! {
                        biased;
                        _ = is_cut => {}
                        _ = pass(near, &wire) => {}
                    }
                });
            }
        });
        Relay { address, wire }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts it when this many bytes more were sent.
    pub fn cut_after(&self, bytes: u64) {
        self.wire.most.store(self.sent() + bytes, Ordering::SeqCst);
    }

    /// Waits until it is cut.
    pub async fn is_cut(&self) {
        let _ = self.wire.cut.subscribe().wait_for(|cut| *cut).await;
    }

    /// Mends it; tells how much was sent before.
    pub fn mend(&self) -> u64 {
        self.wire.most.store(u64::MAX, Ordering::SeqCst);
        self.wire.cut.send_replace(false);
        self.sent()
    }

    pub fn sent(&self) -> u64 {
        self.wire.sent.load(Ordering::SeqCst)
    }
}

async fn pass(mut near: TcpStream, wire: &Wire) -> std::io::Result<()> {
    let mut far = TcpStream::connect(&wire.to).await?;
    let (mut near_in, mut near_out) = near.split();
    let (mut far_in, mut far_out) = far.split();
    let up = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let count = near_in.read(&mut buffer).await?;
            if count == 0 {
                return far_out.shutdown().await;
            }
            far_out.write_all(&buffer[..count]).await?;
            let sent = wire.sent.fetch_add(count as u64, Ordering::SeqCst) + count as u64;
            if sent >= wire.most.load(Ordering::SeqCst) {
                wire.cut.send_replace(true);
            }
        }
    };
    let down = async {
        tokio::io::copy(&mut far_in, &mut near_out).await?;
        near_out.shutdown().await
    };
    tokio::try_join!(up, down).map(drop)
}
