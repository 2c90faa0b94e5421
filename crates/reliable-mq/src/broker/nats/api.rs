//! Requests to JetStream. They are JSON, and stay it here: what a newer server or an operator says in a configuration beyond
//! what this crate knows goes back as it came.

use async_nats::{Message, StatusCode, header::NATS_SEQUENCE};
use serde::Deserialize;
use serde_json::Value;

use super::link::{Live, broker};
use crate::Error;

/// JetStream says no.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) err_code: u32,
    #[serde(default)]
    pub(super) description: String,
}

impl Refusal {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.err_code, STREAM_NOT_FOUND | CONSUMER_NOT_FOUND)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        broker(format!("{} ({})", refusal.description, refusal.err_code))
    }
}

/// One request, such as `STREAM.INFO.name`, and what the server answers or refuses.
pub(super) async fn call(live: &Live, verb: &str, body: &Value) -> Result<Result<Value, Refusal>, Error> {
    let answer = live.ask(format!("$JS.API.{verb}"), body.to_string().into()).await?;
    let answer = answer.ok_or_else(|| broker(NOBODY))?;
    let mut answer: Value = serde_json::from_slice(&answer.payload).map_err(|error| broker(Box::new(error)))?;
    match answer.get_mut("error").map(Value::take) {
        None => Ok(Ok(answer)),
        Some(error) => Ok(Err(serde_json::from_value(error).map_err(|error| broker(Box::new(error)))?)),
    }
}

/// A message of a stream, with its place there; `None` if there is none such.
pub(super) async fn get(live: &Live, stream: &str, body: &Value) -> Result<Option<(u64, Message)>, Error> {
    let answer = live.ask(format!("$JS.API.DIRECT.GET.{stream}"), body.to_string().into()).await?;
    let message = answer.ok_or_else(|| broker(NOBODY))?;
    match message.status {
        None => {}
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        Some(status) => return Err(broker(format!("a message was not read: {status}"))),
    }
    let place = message.headers.as_ref().and_then(|headers| headers.get(NATS_SEQUENCE));
    let place = place.and_then(|place| place.as_str().parse().ok());
    Ok(Some((place.ok_or_else(|| broker("a message without its place"))?, message)))
}

pub(super) fn number(answer: &Value, pointer: &str) -> u64 {
    answer.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

const NOBODY: &str = "jetstream does not answer: it is not enabled, or not ready";
pub(super) const CONSUMER_NOT_FOUND: u32 = 10014;
pub(super) const STREAM_NOT_FOUND: u32 = 10059;
pub(super) const NAME_IN_USE: u32 = 10058;
pub(super) const NO_MESSAGE_AT_PLACE: u32 = 10043;
