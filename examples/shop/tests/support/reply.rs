//! An answer read whole, and requests that no client library would send.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, SET_COOKIE};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    /// Panics unless it is this status as problem+json that says so itself.
    #[track_caller]
    pub fn problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header(CONTENT_TYPE.as_str()), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], status, "{body}");
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
    }

    /// Panics unless it is this status as a page with a heading and a way on.
    #[track_caller]
    pub fn page(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header(CONTENT_TYPE.as_str()), "text/html; charset=utf-8");
        assert!(self.text.contains("<h1") && self.text.contains("<a "), "{}", self.text);
    }

    /// Panics unless it is a 303 to `location`.
    #[track_caller]
    pub fn see_other(&self, location: &str) {
        assert_eq!((self.status, self.location()), (303, location), "{}", self.text);
    }

    /// The value of a cookie that it sets.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let sent = set_cookies(&self.headers).into_iter();
        sent.filter_map(|cookie| {
            cookie.split(';').next()?.split_once('=').map(|(held, value)| (held.to_owned(), value.to_owned()))
        })
        .find_map(|(held, value)| (held == name).then_some(value))
    }

    /// Name and value of the only cookie that it sets.
    #[track_caller]
    pub fn only_cookie(&self) -> (String, String) {
        let sent = set_cookies(&self.headers);
        assert_eq!(sent.len(), 1, "{sent:?}");
        let (name, value) = sent[0].split(';').next().unwrap().split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    }
}

/// All `Set-Cookie` values.
pub fn set_cookies(headers: &HeaderMap) -> Vec<String> {
    headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// Sends and reads.
pub async fn reply(request: RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, text: response.text().await.unwrap() }
}

/// Sends these bytes as they are, each `part` by itself, and reads until the shop closes.
pub async fn raw(host: &str, parts: &[&[u8]]) -> Reply {
    let talk = async {
        let mut stream = TcpStream::connect(host).await.unwrap();
        for part in parts {
            stream.write_all(part).await.unwrap();
        }
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    let bytes = tokio::time::timeout(Duration::from_secs(30), talk).await.expect("an answer");
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = name.parse::<reqwest::header::HeaderName>().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    Reply { status: status.unwrap_or_else(|| panic!("no HTTP: {text}")), headers, text: body.to_owned() }
}
