//! Request bodies, taken whole before anything is answered: a client that is cut off while it still sends never reads
//! what the answer was.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;

/// The longest body that is kept.
const MAX_KEPT: usize = 64 * 1024;
/// How much of a longer one is taken and thrown away.
const MAX_TAKEN: usize = 8 * 1024 * 1024;

/// How the body of a request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is in the request.
    Whole,
    /// It was longer than 64 KiB, and is gone.
    TooLong,
    /// It ended before its end.
    Broken,
}

/// The request with its body in memory, and how that arrived among its extensions.
pub async fn taken(request: Request) -> Request {
    let (mut parts, body) = request.into_parts();
    let (arrival, bytes) = take(&parts.headers, body).await;
    parts.extensions.insert(arrival);
    Request::from_parts(parts, Body::from(bytes))
}

async fn take(headers: &HeaderMap, body: Body) -> (Arrival, Vec<u8>) {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    // Who asked before sending is told at once; so is who would send without end.
    let most = if headers.contains_key(header::EXPECT) { MAX_KEPT } else { MAX_TAKEN };
    if announced.is_some_and(|length| length > most) {
        return (Arrival::TooLong, Vec::new());
    }
    let (mut kept, mut taken) = (Vec::new(), 0);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return (Arrival::Broken, Vec::new()) };
        taken += chunk.len();
        if taken <= MAX_KEPT {
            kept.extend_from_slice(&chunk);
        } else if taken > MAX_TAKEN {
            break;
        }
    }
    if taken <= MAX_KEPT { (Arrival::Whole, kept) } else { (Arrival::TooLong, Vec::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn arrival(body: Body) -> (Arrival, usize) {
        let request = taken(Request::new(body)).await;
        let arrival = *request.extensions().get::<Arrival>().unwrap();
        (arrival, axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap().len())
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_kept() {
        for (length, expected) in [
            (0, Arrival::Whole),
            (MAX_KEPT, Arrival::Whole),
            (MAX_KEPT + 1, Arrival::TooLong),
            (MAX_TAKEN + 1, Arrival::TooLong),
        ] {
            let kept = if expected == Arrival::Whole { length } else { 0 };
            assert_eq!(arrival(Body::from(vec![b'x'; length])).await, (expected, kept));
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_from_a_whole_one() {
        let chunks = [Ok(vec![b'x'; 10]), Err(std::io::Error::other("gone"))];
        assert_eq!(arrival(Body::from_stream(futures_util::stream::iter(chunks))).await, (Arrival::Broken, 0));
    }
}
