use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Fields, Failure> {
    fields(text.as_bytes())
}

#[test]
fn the_three_shapes_are_read() {
    let form = read("access_token=FE04&expires_in=7776000&refresh_token=88E4").unwrap();
    assert_eq!(form.text("access_token").as_deref(), Some("FE04"));
    assert_eq!(form.number("expires_in"), Some(7_776_000));
    for jsonp in [
        "callback( {\"client_id\":\"101\",\"openid\":\"AB\"} ); ",
        "callback({\"client_id\":\"101\",\"openid\":\"AB\"})",
        "\u{feff}\n callback ( {\"client_id\":101,\"openid\":\"AB\"} ) ;\n",
    ] {
        let fields = read(jsonp).unwrap();
        assert_eq!(fields.text("client_id").as_deref(), Some("101"), "{jsonp}");
        assert_eq!(fields.text("openid").as_deref(), Some("AB"));
    }
    assert_eq!(read(" {\"ret\":0,\"nickname\":\"小明\"} ").unwrap().text("nickname").as_deref(), Some("小明"));
    assert_eq!(read("callback( {\"error\":100020,\"msg\":\"x\" , } );").unwrap().number("error"), Some(100_020));
}

#[test]
fn anything_else_is_garbled() {
    for text in [
        "",
        "OK",
        "<html><body>a=b</body></html>",
        "<a href=\"?x=1\">",
        "{\"a\":1",
        "{\"a\":1}{\"b\":2}",
        "{\"a\":1,}",
        "[1]",
        "callback(alert(1))",
        "callback( {\"a\":1} ); alert(1);",
        "callback( {\"a\":1} ); callback( {\"b\":1} );",
        "evil( {\"a\":1} );",
        "{\"openid\":\"A\",\"openid\":\"B\"}",
        "{\"openid\":\"A\",\"\\u006fpenid\":\"B\"}",
        "callback( {\"openid\":\"A\",\"openid\":\"B\"} );",
        "access_token=a&access_token=b",
        "access_token",
    ] {
        assert_eq!(read(text), Err(Failure::GARBLED), "{text}");
    }
    assert_eq!(fields(b"\xff\xfe=1"), Err(Failure::GARBLED));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(read(&deep), Err(Failure::GARBLED));
    let many: Vec<_> = (0..200).map(|i| format!("f{i}=1")).collect();
    assert_eq!(read(&many.join("&")), Err(Failure::GARBLED));
}

#[test]
fn debug_shows_names_only() {
    let shown = format!("{:?}", read("access_token=SECRET").unwrap());
    assert!(shown.contains("access_token") && !shown.contains("SECRET"));
}

const SAMPLES: [&str; 4] = [
    "access_token=FE04&expires_in=7776000&refresh_token=88E4",
    "callback( {\"client_id\":\"101\",\"openid\":\"AB\"} );",
    "{\"ret\":0,\"msg\":\"\",\"nickname\":\"\\u5c0f\",\"figureurl_qq_1\":\"http://a/1\"}",
    "callback( {\"error\":100020,\"error_description\":\"code is reused error\",} );",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changed_bytes_never_panic(which in 0..4_usize, changes in prop::collection::vec((0..80_usize, any::<u8>()), 1..6)) {
        let mut bytes = SAMPLES[which].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(fields) = fields(&bytes) {
            let _ = (fields.text("openid"), fields.number("expires_in"), fields.has("error"));
        }
    }

    #[test]
    fn cut_json_is_never_read(which in 1..4_usize, cut in 1..60_usize) {
        // Without the semicolon JSONP is still whole, so the cut takes at least the bracket too.
        let sample = SAMPLES[which];
        let end = sample.rfind('}').unwrap();
        prop_assert_eq!(read(&sample[..end.saturating_sub(cut)]), Err(Failure::GARBLED));
    }

    #[test]
    fn json_survives_the_wrapping(openid in "[A-F0-9]{1,32}", left in " {0,3}", right in "[ \n]{0,3}") {
        let plain = read(&format!("{{\"openid\":\"{openid}\"}}")).unwrap();
        prop_assert_eq!(read(&format!("callback({left}{{\"openid\":\"{openid}\"}}{right});{right}")).unwrap(), plain);
    }
}
