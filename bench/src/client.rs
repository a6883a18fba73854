//! One connection to a host: the client must cost little beside what it measures.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A connection that is kept alive, and closed with this value.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: SocketAddr,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(crate) async fn open(host: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // Its errors are those of requests.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            host,
            driver,
        })
    }

    /// The whole answer, which must be a 200.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        let request = Request::get(path).header("host", self.host.to_string());
        let request = request.body(Full::default())?;
        let answer = self.send(request).await?;
        Ok(answer.into_body().collect().await?.to_bytes())
    }

    /// The stream that answers `message`.
    pub(crate) async fn chat(&mut self, path: &str, message: &str) -> Result<Stream> {
        let body = serde_json::json!({"message": message}).to_string();
        let request = Request::post(path)
            .header("host", self.host.to_string())
            .header("content-type", "application/json")
            .body(Full::from(body))?;
        Ok(Stream(self.send(request).await?.into_body()))
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let body = answer.into_body().collect().await?.to_bytes();
            anyhow::bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(answer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The body of a stream, by what arrives at a time. Its connection must be kept.
pub(crate) struct Stream(Incoming);

impl Stream {
    /// `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.0.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// Asks whether the host answers as it should.
pub(crate) async fn healthy(host: SocketAddr) -> Result<()> {
    let answer = Connection::open(host).await?.get("/health").await?;
    ensure!(answer == HEALTH, "/health answers {answer:?}");
    Ok(())
}

/// What every host answers on `/health`.
pub(crate) const HEALTH: &str = r#"{"status":"ok"}"#;
