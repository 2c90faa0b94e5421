//! Where a message stood in its outbox, as one text.

use crate::message::Origin;

pub(super) fn write(origin: Origin) -> String {
    format!("{}:{}:{}", origin.lane, origin.sequence, origin.epoch)
}

pub(super) fn read(text: &str) -> Option<Origin> {
    let mut parts = text.split(':');
    let origin = Origin {
        lane: parts.next()?.parse().ok()?,
        sequence: parts.next()?.parse().ok()?,
        epoch: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_survives_its_text() {
        let origin = Origin { lane: 7, sequence: i64::MAX, epoch: 3 };
        assert_eq!(read(&write(origin)), Some(origin));
        for text in ["", "1:2", "1:2:3:4", "a:2:3", "-1:2:3"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
