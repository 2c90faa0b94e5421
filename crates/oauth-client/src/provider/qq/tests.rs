use super::*;

fn provider() -> Provider {
    Provider::qq("101", "key".into(), "https://a.example/cb")
}

fn step(answers: &[&str]) -> Result<Step, Failure> {
    let answers: Vec<_> = answers.iter().map(|body| Answer::new(200, *body)).collect();
    Qq.identity(&provider(), &"TOKEN".into(), &answers)
}

fn token(body: &str) -> Result<Answer, Failure> {
    Qq.token_answer(&Answer::new(200, body))
}

const ME: &str = "callback( {\"client_id\":\"101\",\"openid\":\"AB12\"} );";

#[test]
fn the_token_request_is_a_get_with_everything_in_the_query() {
    let post = http::Request::post("https://graph.qq.com/oauth2.0/token")
        .body(b"grant_type=authorization_code&code=a%2Bb".to_vec())
        .unwrap();
    let get = Qq.token_request(post).unwrap();
    assert_eq!(get.method(), Method::GET);
    assert_eq!(get.uri().query(), Some("grant_type=authorization_code&code=a%2Bb"));
    assert!(get.body().is_empty());
}

#[test]
fn tokens_come_as_form_text_or_json_and_errors_as_jsonp_or_json() {
    for body in [
        "access_token=A&expires_in=7776000&refresh_token=R",
        r#"{"access_token":"A","expires_in":7776000,"refresh_token":"R"}"#,
        r#"{"access_token":"A","expires_in":"7776000","refresh_token":"R","openid":"X"}"#,
    ] {
        let json: serde_json::Value = serde_json::from_slice(&token(body).unwrap().body).unwrap();
        assert_eq!((&json["access_token"], &json["expires_in"]), (&"A".into(), &7_776_000.into()), "{body}");
    }
    let refused = |body| token(body).unwrap_err();
    for body in [
        "callback( {\"error\":100020,\"error_description\":\"code is reused error\",} );",
        r#"{"error":100020,"error_description":"code is reused error"}"#,
        r#"{"error":"100019"}"#,
    ] {
        assert_eq!(refused(body), Failure::CodeRejected, "{body}");
    }
    assert_eq!(refused(r#"{"error":100009}"#), Failure::misconfigured("100009"));
    assert_eq!(refused(r#"{"error":100001}"#), Failure::refused("100001"));
    assert_eq!(refused("<html>busy</html>"), Failure::GARBLED);
    let status = Qq.token_answer(&Answer::new(404, "<html>"));
    assert_eq!(status.unwrap_err(), Failure::Protocol(Protocol::Status));
}

#[test]
fn the_openid_is_asked_first_then_the_profile() {
    let Ok(Step::Ask(me)) = step(&[]) else { panic!("a question") };
    assert_eq!(me.uri().to_string(), "https://graph.qq.com/oauth2.0/me?access_token=TOKEN");
    let Ok(Step::Ask(user)) = step(&[ME]) else { panic!("a question") };
    assert_eq!(user.uri().query(), Some("access_token=TOKEN&oauth_consumer_key=101&openid=AB12"));
    let json = r#"{"ret":0,"msg":"","nickname":"小明","figureurl_qq_2":"","figureurl_qq_1":"http://q.example/40"}"#;
    let Ok(Step::Known { subject, profile }) = step(&[ME, json]) else { panic!("a user") };
    assert_eq!(subject, "AB12");
    assert_eq!(profile, Profile::new(Some("小明"), Some("http://q.example/40")));
}

#[test]
fn a_token_of_another_application_is_refused() {
    let other = "callback( {\"client_id\":\"999\",\"openid\":\"AB12\"} );";
    assert_eq!(step(&[other]).unwrap_err(), Failure::SubjectMismatch);
    assert_eq!(step(&["callback( {\"openid\":\"AB12\"} );"]).unwrap_err(), Failure::GARBLED);
    assert_eq!(step(&["callback( {\"client_id\":\"101\"} );"]).unwrap_err(), Failure::GARBLED);
}

#[test]
fn a_rejected_token_is_told_apart_from_other_refusals() {
    for code in [100_013, 100_014, 100_015, 100_016] {
        let body = format!("callback( {{\"error\":{code}}} );");
        assert_eq!(step(&[&body]).unwrap_err(), Failure::TokenRejected);
        let body = format!("{{\"ret\":{code},\"msg\":\"x\"}}");
        assert_eq!(step(&[ME, &body]).unwrap_err(), Failure::TokenRejected);
    }
    assert_eq!(step(&[ME, r#"{"ret":-22,"msg":"x"}"#]).unwrap_err(), Failure::refused("-22"));
    assert_eq!(step(&[ME, r#"{"ret":null,"nickname":"x"}"#]).unwrap_err(), Failure::refused(""));
    assert_eq!(step(&[ME, r#"{"nickname":"x"}"#]).unwrap_err(), Failure::GARBLED);
    assert_eq!(step(&[ME, r#"{"ret":1002,"msg":"x"}"#]).unwrap_err(), Failure::refused("1002"));
}

#[test]
fn cancelling_and_errors_of_the_authorize_page_are_no_code() {
    let reply = |query: &str| format!("{:?}", Qq.callback(&Parameters::parse(query).unwrap()));
    assert_eq!(reply("state=s&usercancel=1"), "Denied");
    assert_eq!(reply("state=s&usercancel=1&code=x"), "Denied");
    assert_eq!(reply("state=s&code=x&usercancel=0"), "Code(\"x\")");
    assert_eq!(reply("state=s&error=access_denied"), "Denied");
    assert!(reply("state=s&code=100010&msg=redirect").starts_with("Refused"));
    assert_eq!(reply("state=s"), "Nothing");
}
