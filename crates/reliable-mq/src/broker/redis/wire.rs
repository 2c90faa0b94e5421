//! Between envelopes and the entries of a stream.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::{
    broker::origin,
    message::{Envelope, Message, MessageError, MessageId},
};

/// The fields of an entry as they come back.
pub(super) type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// Names and values in turn. Always the same names in the same order: a stream keeps them once.
pub(super) fn write(envelope: &Envelope) -> Result<[Vec<u8>; 14], MessageError> {
    let headers = match envelope.headers() {
        none if none.is_empty() => Vec::new(),
        headers => serde_json::to_vec(headers).map_err(MessageError::Encode)?,
    };
    let fields: [(&str, Vec<u8>); 7] = [
        (ID, envelope.id.as_str().into()),
        (TOPIC, envelope.topic().into()),
        (KEY, envelope.key().unwrap_or_default().into()),
        (HEADERS, headers),
        (ENQUEUED, envelope.enqueued_at.to_string().into()),
        (ORIGIN, envelope.origin.map(origin::write).unwrap_or_default().into()),
        (PAYLOAD, envelope.payload().to_vec()),
    ];
    let mut written = fields.into_iter().flat_map(|(name, value)| [name.into(), value]);
    Ok(std::array::from_fn(|_| written.next().unwrap_or_default()))
}

/// Reads an entry; `None` if it has no id that this crate could keep apart from others, or cannot be read.
pub(super) fn read(mut fields: Fields) -> Option<Envelope> {
    let payload = fields.remove(PAYLOAD.as_bytes()).unwrap_or_default();
    // What others leave out is as good as empty.
    let text = |name: &str| fields.get(name.as_bytes()).map_or(Some(""), |value| std::str::from_utf8(value).ok());
    let present = |name: &str| text(name).map(|text| Some(text).filter(|text| !text.is_empty()));
    let headers: Option<BTreeMap<String, String>> = present(HEADERS)?.map(serde_json::from_str).transpose().ok()?;
    let message = Message {
        id: None,
        topic: present(TOPIC)??.to_owned(),
        key: present(KEY)?.map(str::to_owned),
        headers: headers.unwrap_or_default(),
        payload: Bytes::from(payload),
        delay: std::time::Duration::ZERO,
    };
    let at = present(ENQUEUED)?.map_or(Ok(0), str::parse).ok()?;
    let mut envelope = Envelope::new(MessageId::parse(text(ID)?).ok()?, message, at);
    envelope.origin = present(ORIGIN)?.and_then(origin::read);
    Some(envelope)
}

const ID: &str = "id";
const TOPIC: &str = "topic";
const KEY: &str = "key";
const HEADERS: &str = "headers";
const ENQUEUED: &str = "enqueued_at";
const ORIGIN: &str = "origin";
const PAYLOAD: &str = "payload";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Origin;

    fn fields(flat: &[Vec<u8>]) -> Fields {
        flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    fn theirs(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_message_survives_its_fields() {
        let id = MessageId::parse("id").unwrap();
        let plain = Envelope::new(id.clone(), Message::to("topic").payload(vec![0, 255]).unwrap(), -1);
        let full = Message::to("t").key("k").header("ünï", "wört 🦀\n").header("none", "").text("").unwrap();
        let full = Envelope::new(id, full, 7).with_origin(Origin { lane: 1, sequence: i64::MAX, epoch: 3 });
        for sent in [plain, full] {
            assert_eq!(read(fields(&write(&sent).unwrap())), Some(sent));
        }
    }

    #[test]
    fn a_message_of_others_needs_an_id_and_a_topic() {
        let read_it = read(theirs(&[("id", "theirs"), ("topic", "t"), ("more", "x")])).unwrap();
        assert_eq!((read_it.id.as_str(), read_it.topic(), read_it.enqueued_at), ("theirs", "t", 0));
        for bad in [
            vec![],
            vec![("topic", "t")],
            vec![("id", "a b"), ("topic", "t")],
            vec![("id", "a")],
            vec![("id", "a"), ("topic", "t"), ("headers", "{")],
            vec![("id", "a"), ("topic", "t"), ("enqueued_at", "soon")],
        ] {
            assert_eq!(read(theirs(&bad)), None, "{bad:?}");
        }
        let mut odd = theirs(&[("id", "a")]);
        odd.insert(b"topic".to_vec(), vec![0xff]);
        assert_eq!(read(odd), None);
    }
}
