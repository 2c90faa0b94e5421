use proptest::prelude::*;

use super::*;
use crate::DtxError;

mod mutated;

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::NULL),
        (1..=4_u32, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(kind, bytes)| Cell { kind, bytes }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (1..4_usize, "[a-z\u{e9} \"]{1,8}", 0..3_u8).prop_flat_map(|(width, table, kind)| {
        let row = || prop::option::of(prop::collection::vec(cell(), width));
        let change = (row(), row()).prop_map(|(before, after)| Change { before, after });
        (prop::collection::vec(change, 0..6), 0..width).prop_map(move |(changes, key)| Step {
            kind: [Kind::Insert, Kind::Update, Kind::Delete][usize::from(kind)],
            table: table.clone(),
            relation: u32::from(kind) << 30,
            columns: (0..width).map(|at| format!("c{at}")).collect(),
            key: vec![key],
            set: (0..key).collect(),
            changes,
        })
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(steps in prop::collection::vec(step(), 0..5)) {
        let images = Images { steps };
        prop_assert_eq!(decode(&encode(&images)).unwrap(), images);
    }

    #[test]
    fn damaged_bytes_are_refused(steps in prop::collection::vec(step(), 1..3), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut stored = encode(&Images { steps });
        let at = at.index(stored.len());
        stored[at] ^= flip;
        prop_assert!(matches!(decode(&stored), Err(DtxError::Corrupt(_))));
    }

    #[test]
    fn any_bytes_with_a_right_checksum_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut stored = vec![1];
        stored.extend(body);
        let sum = <sha2::Sha256 as sha2::Digest>::digest(&stored);
        stored.extend_from_slice(&sum[..8]);
        if let Ok(images) = decode(&stored) {
            prop_assert_eq!(decode(&encode(&images)).unwrap(), images);
        }
    }
}

#[test]
fn a_length_of_the_whole_memory_is_refused_without_taking_it() {
    let mut stored = vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let sum = <sha2::Sha256 as sha2::Digest>::digest(&stored);
    stored.extend_from_slice(&sum[..8]);
    assert!(matches!(decode(&stored), Err(DtxError::Corrupt(_))));
}

fn large(bytes: &[u8]) -> Images {
    let row = |cell: &[u8]| vec![Cell { kind: 3, bytes: cell.to_vec() }];
    let changes = bytes.chunks(100).map(|chunk| Change { before: Some(row(chunk)), after: None }).collect();
    Images {
        steps: vec![Step {
            kind: Kind::Delete,
            table: "t".to_owned(),
            relation: 1,
            columns: vec!["c".to_owned()],
            key: vec![0],
            set: Vec::new(),
            changes,
        }],
    }
}

#[test]
fn large_records_are_packed_where_that_makes_them_smaller() {
    let plain = large(&[7; 100_000]);
    let stored = encode(&plain);
    assert!(stored.len() < 10_000, "{}", stored.len());
    assert_eq!(decode(&stored).unwrap(), plain);
    let mut rng = testkit::Rng::new(1);
    let noise: Vec<u8> = (0..100_000).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
    let noise = large(&noise);
    let stored = encode(&noise);
    assert!((100_000..110_000).contains(&stored.len()), "{}", stored.len());
    assert_eq!(decode(&stored).unwrap(), noise);
}

#[test]
fn a_packed_record_that_claims_to_be_huge_is_refused_unread() {
    use sha2::{Digest, Sha256};
    let mut bomb = vec![3];
    bytes::count(&mut bomb, usize::MAX);
    bomb.extend_from_slice(&[0; 50]);
    let sum = Sha256::digest(&bomb);
    bomb.extend_from_slice(&sum[..8]);
    assert!(matches!(decode(&bomb), Err(DtxError::Corrupt("more than could be packed there"))));
}
