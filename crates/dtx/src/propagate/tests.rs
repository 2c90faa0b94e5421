//! What headers may hold.

use http::HeaderName;
use proptest::prelude::*;

use super::*;

fn map(headers: &[(&str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    map
}

#[test]
fn one_transaction_in_any_of_the_ways() {
    let seata: &[u8] = b"192.168.0.1:8091:2612341069705662465";
    for headers in [
        map(&[("TX_XID", seata)]),
        map(&[("tx-xid", seata)]),
        map(&[("Tx-Xid", seata), ("tx_xid", seata), ("TX_XID", seata)]),
    ] {
        let remote = extract(&headers).unwrap().unwrap();
        assert_eq!((remote.xid().as_bytes(), remote.remaining()), (seata, None));
    }
    assert_eq!(extract(&HeaderMap::new()), Ok(None));
}

#[test]
fn the_time_that_remains_is_bounded() {
    let day: &[u8] = b"86400000";
    for (text, millis) in [(&b"0"[..], 0), (b"1500", 1_500), (b"0001", 1), (day, 86_400_000)] {
        let remote = extract(&map(&[("tx-xid", b"a"), ("tx-timeout-ms", text), ("tx-timeout-ms", text)])).unwrap();
        assert_eq!(remote.unwrap().remaining(), Some(Duration::from_millis(millis)));
    }
    let refused: [&[u8]; 9] =
        [b"", b"+1", b"-1", b"1.5", b"1e3", b" ", b"86400001", b"99999999999999999999999", b"\xd9\xa1"];
    for text in refused {
        let answer = extract(&map(&[("tx-xid", b"a"), ("tx-timeout-ms", text)]));
        assert_eq!(answer, Err(RemoteError::Remaining), "{text:?}");
    }
    let two = map(&[("tx-xid", b"a"), ("tx-timeout-ms", b"1"), ("tx-timeout-ms", b"2")]);
    assert_eq!(extract(&two), Err(RemoteError::Ambiguous));
}

#[test]
fn an_xid_is_short_visible_and_the_only_one() {
    let (longest, longer) = ([b'x'; 128], [b'x'; 129]);
    assert!(extract(&map(&[("tx-xid", &longest)])).is_ok());
    let refused: [&[u8]; 7] = [b"", b" ", b"a b", b"a\tb", b"a,\xc3\xa4", b"\xff", &longer];
    for xid in refused {
        for name in XID {
            assert_eq!(extract(&map(&[(name, xid)])), Err(RemoteError::Xid), "{xid:?}");
        }
    }
    for headers in [
        map(&[("tx-xid", b"a"), ("tx_xid", b"b")]),
        map(&[("tx-xid", b"a"), ("tx-xid", b"A")]),
        map(&[("tx-xid", b"a"), ("tx_xid", b"")]),
    ] {
        assert_eq!(extract(&headers), Err(RemoteError::Ambiguous));
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(values in prop::collection::vec((0..3_usize, prop::collection::vec(any::<u8>(), 0..40)), 0..5)) {
        let mut headers = HeaderMap::new();
        for (name, value) in &values {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(["tx_xid", "tx-xid", "tx-timeout-ms"][*name], value);
            }
        }
        if let Ok(Some(remote)) = extract(&headers) {
            prop_assert!((1..=128).contains(&remote.xid().len()));
            prop_assert!(remote.xid().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(remote.remaining().is_none_or(|remaining| remaining <= Duration::from_secs(24 * 60 * 60)));
        }
    }
}
