//! HTTP/1.1 as bytes, for what a client library hides or repairs.

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::PATIENCE;

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

/// An answer's head.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    text: String,
}

impl Head {
    /// The value of a field; `None` where there is none.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.text.lines().filter_map(|line| line.split_once(':'));
        fields.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then(|| value.trim()))
    }
}

impl Connection {
    /// Connects to the host at `origin`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn open(origin: &str) -> Self {
        let address = origin.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self(BufReader::new(stream))
    }

    /// Sends a request without a body and reads the head of its answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn ask(&mut self, method: &str, path: &str, host: &str) -> Head {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let sent = self.0.write_all(request.as_bytes()).await;
        sent.expect("the connection is open");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, self.0.read_u8()).await;
            head.push(byte.expect("a head in time").expect("a head"));
        }
        let text = String::from_utf8(head).expect("text");
        let status = text
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no head: {text:?}"));
        Head { status, text }
    }

    /// Sends `request` and returns what the first read of the socket gives.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn first_read(&mut self, request: &str) -> String {
        let stream = self.0.get_mut();
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("the connection is open");
        let mut read = vec![0; 64 << 10];
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut read)).await;
        read.truncate(count.expect("an answer in time").expect("an answer"));
        String::from_utf8(read).expect("text")
    }

    /// The body that `head` announces.
    ///
    /// # Panics
    /// When it announces none, or that does not come.
    pub async fn body(&mut self, head: &Head) -> String {
        let length = head.field("content-length").expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        let read = tokio::time::timeout(PATIENCE, self.0.read_exact(&mut body)).await;
        read.expect("a body in time").expect("a body");
        String::from_utf8(body).expect("text")
    }
}
