//! The page, over plain HTTP on this machine.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::tls::CertificateHash;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The page for a room at a URL, whose certificate has that SHA-256.
pub(crate) fn fill(url: &str, hash: CertificateHash) -> String {
    include_str!("page.html")
        .replace("{{URL}}", url)
        .replace("{{HASH}}", &hash.to_string())
}

/// Answers every request for `/` with the page.
pub(crate) async fn serve(listener: TcpListener, page: String) {
    let page = Arc::new(page);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = page.clone();
                tokio::spawn(async move {
                    // A browser that goes away in the middle is its own business.
                    let answer = answer(stream, &page);
                    let _ = tokio::time::timeout(Duration::from_secs(5), answer).await;
                });
            }
            Err(error) => {
                eprintln!("{error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, page: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = (&mut stream).take(8192).lines();
    let first = head.next_line().await?.unwrap_or_default();
    while head.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = if first.starts_with("GET / ") {
        ("200 OK", page)
    } else {
        ("404 Not Found", "")
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
