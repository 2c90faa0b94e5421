//! Golden bytes: what was written once must stay readable.

use super::*;
use crate::types::{MergeId, Owner, Sku};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(text: &str) -> LineKey {
    LineKey::of(&Sku::new(text).unwrap())
}

fn record() -> Record {
    let mut record = Record { version: 9, ..Record::default() };
    record.ring.entries = vec![(OperationId::from_bytes([0xaa; 8]), 9), (OperationId::from_bytes([0xbb; 8]), 4)];
    record.ring.floor = 3;
    let tea = Line { checked: false, ..Line::new(key("tea"), 2, 1_764_000_000_123) };
    let hint = PriceHint { amount: -1, currency: *b"EUR" };
    let cup = Line { price_hint: Some(hint), ..Line::new(key("茶"), 999, 0) };
    record.lines = [tea, cup].map(|line| (line.key.clone(), line)).into();
    record
}

fn sealed() -> Seal {
    Seal::new(MergeId::from_bytes([0xcc; 16]), MemberId::new("ann").unwrap(), Stage::Tombstoned, 258)
}

const OPEN: &str = concat!(
    "1b",
    "12",
    "00000009",
    "00000003",
    "00",
    "aaaaaaaaaaaaaaaa",
    "05",
    "bbbbbbbbbbbbbbbb",
    "00",
    "03",
    "746561",
    "0b",
    "10",
    "00000002",
    "019ab697e87b",
    "03",
    "e88cb6",
    "16",
    "13",
    "000003e7",
    "000000000000",
    "ffffffffffffffff",
    "455552",
);

#[test]
fn a_record_has_these_bytes() {
    assert_eq!(hex(&record().encode()), OPEN);
    assert_eq!(Record::decode(&record().encode()), Ok(record()));
    let mut record = record();
    record.seal = Some(sealed());
    let mark = concat!("1a", "12", "000000000102", "cccccccccccccccccccccccccccccccc", "616e6e");
    assert!(hex(&record.encode()).contains(mark), "{}", hex(&record.encode()));
    assert_eq!(Record::decode(&record.encode()), Ok(record));
    assert_eq!(hex(&Record::default().encode()), "0910000000000000000000");
}

#[test]
fn marks_have_these_bytes() {
    let clamped = vec![Clamped { key: key("tea"), asked: 1_001, kept: 999 }];
    let report = MergeReport { lines: 2, quantity: 1_000, clamped, version: 7, replayed: false };
    let bytes = report.encode();
    assert_eq!(hex(&bytes), "10000000070000000200000000000003e803746561000000000000 03e9000003e7".replace(' ', ""));
    assert_eq!(MergeReport::decode(&bytes), Ok(report));
    let taken = Taken { version: 7, quantity: 3, replayed: false };
    assert_eq!(hex(&taken.encode()), "10000000070000000000000003");
    assert_eq!(Taken::decode(&taken.encode()), Ok(taken));
}

#[test]
fn six_operations_fit_the_64_bytes_of_a_compact_value() {
    let mut record = Record::default();
    for n in 0..20 {
        record.advance(Some(OperationId::from_bytes([n; 8])));
        assert!(meta(&record).len() <= 64);
    }
    assert_eq!(meta(&record).len(), 63);
}

#[test]
fn bytes_cut_short_or_changed_are_refused_or_another_cart_never_a_panic() {
    let bytes = record().encode();
    for len in 0..bytes.len() {
        // A cut between two lines is a cart with fewer lines; every other one is noticed.
        if let Ok(read) = Record::decode(&bytes[..len]) {
            assert!(read.lines.len() < 2, "{len}");
        }
    }
    for at in 0..bytes.len() {
        for value in 0..=255 {
            let mut changed = bytes.clone();
            changed[at] = value;
            if let Ok(read) = Record::decode(&changed) {
                let _ = (read.encode(), read.cart(Owner::Guest(crate::GuestId::from_bytes([0; 16]))));
            }
        }
    }
    for format in [0x00, 0x0f, 0x20, 0xff] {
        let mut later = bytes.clone();
        later[1] = format;
        assert!(Record::decode(&later).is_err());
    }
}
