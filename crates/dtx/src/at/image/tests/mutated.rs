//! Records that are damaged behind their checksum.

use sha2::{Digest, Sha256};
use testkit::Rng;

use super::*;
use crate::at::mutate::{mutated, tries};

fn row(rng: &mut Rng, width: usize) -> Row {
    let mut cell = || match rng.below(4) {
        0 => Cell::NULL,
        kind => Cell { kind: u32::try_from(kind).unwrap(), bytes: vec![7; usize::try_from(rng.below(40)).unwrap()] },
    };
    (0..width).map(|_| cell()).collect()
}

fn valid(rng: &mut Rng) -> Vec<u8> {
    let long = if rng.chance(0.02) { 60 } else { 4 };
    let mut step = || {
        let width = 1 + usize::try_from(rng.below(4)).unwrap();
        let change = |rng: &mut Rng| Change {
            before: rng.chance(0.7).then(|| row(rng, width)),
            after: rng.chance(0.7).then(|| row(rng, width)),
        };
        Step {
            kind: *rng.pick(&[Kind::Insert, Kind::Update, Kind::Delete]),
            table: "public.t".to_owned(),
            relation: 9,
            columns: (0..width).map(|at| format!("c{at}")).collect(),
            key: vec![0],
            set: (0..width).collect(),
            changes: (0..rng.below(long)).map(|_| change(rng)).collect(),
        }
    };
    encode(&Images { steps: (0..2).map(|_| step()).collect() })
}

/// One step of PostgreSQL's making.
#[cfg(feature = "postgres")]
fn served(rng: &mut Rng) -> Vec<u8> {
    let Images { steps } = decode(&valid(rng)).unwrap();
    let mut out = record::head(&steps[0]);
    for image in steps[0].changes.iter().flat_map(|change| [&change.before, &change.after]) {
        let Some(row) = image else {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        };
        let mut sent = u32::try_from(row.len()).unwrap().to_be_bytes().to_vec();
        for cell in row {
            sent.extend_from_slice(&cell.kind.to_be_bytes());
            let length = if cell.is_null() { -1 } else { i32::try_from(cell.bytes.len()).unwrap() };
            sent.extend_from_slice(&length.to_be_bytes());
            sent.extend_from_slice(&cell.bytes);
        }
        out.extend_from_slice(&u32::try_from(sent.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&sent);
    }
    let sum = Sha256::digest(&out);
    out.extend_from_slice(&sum[..8]);
    assert_eq!(decode(&out).unwrap().steps[0].changes.len(), steps[0].changes.len());
    out
}

/// The memory that images take.
fn weight(images: &Images) -> usize {
    let cells = |row: &Row| row.iter().map(|cell| size_of::<Cell>() + cell.bytes.capacity()).sum::<usize>();
    let step = |step: &Step| {
        let rows = step.changes.iter().flat_map(|change| [&change.before, &change.after]).flatten();
        let names = step.columns.iter().map(|name| size_of::<String>() + name.capacity()).sum::<usize>();
        let places = size_of::<usize>() * (step.key.capacity() + step.set.capacity());
        size_of::<Step>()
            + names
            + places
            + size_of::<Change>() * step.changes.capacity()
            + rows.map(cells).sum::<usize>()
    };
    images.steps.iter().map(step).sum()
}

#[test]
fn no_record_makes_the_decoder_panic_or_take_more_memory_than_it_is_worth() {
    let mut rng = Rng::new(testkit::seed());
    let (tries, mut read) = (tries(), 0);
    for _ in 0..tries {
        let input = match rng.below(2) {
            #[cfg(feature = "postgres")]
            0 => served(&mut rng),
            _ => valid(&mut rng),
        };
        let other = valid(&mut rng);
        let mut damaged = mutated(&mut rng, &input[..input.len() - 8], &other);
        let sum = Sha256::digest(&damaged);
        damaged.extend_from_slice(&sum[..8]);
        match decode(&damaged) {
            Ok(images) => {
                read += 1;
                let dense = if damaged[0] == 3 { 255 } else { 1 };
                assert!(weight(&images) < 256 * dense * damaged.len(), "{damaged:?}");
            }
            Err(DtxError::Corrupt(_)) => {}
            Err(other) => panic!("{other:?} of {damaged:?}"),
        }
    }
    println!("{tries} damaged records, of which {read} could be read");
    assert!(read > 0 && read < tries);
}
