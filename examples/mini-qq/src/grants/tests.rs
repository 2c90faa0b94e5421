use super::*;

fn grant() -> Grant {
    Grant { client: "shop".to_owned(), user: "alice".to_owned(), scope: "get_user_info".to_owned() }
}

/// One code `c` until 60, with tokens `a` until 1000 and `r` until 2000 if it was exchanged.
fn given(challenge: Option<&str>) -> Grants {
    let mut grants = Grants::default();
    grants.apply(Event::Code {
        code: "c".to_owned(),
        grant: grant(),
        redirect_uri: "http://shop/cb".to_owned(),
        challenge: challenge.map(str::to_owned),
        expires: 60,
    });
    grants
}

fn tokens(grants: &mut Grants, access: &str, refresh: &str) {
    let family = "c".to_owned();
    grants.apply(Event::Access { token: access.to_owned(), family: family.clone(), grant: grant(), expires: 1000 });
    grants.apply(Event::Refresh { token: refresh.to_owned(), family, grant: grant(), expires: 2000 });
}

fn exchange<'a>() -> Exchange<'a> {
    Exchange { client: "shop", code: "c", redirect_uri: "http://shop/cb", verifier: None }
}

/// Decides and applies.
fn take<T>(grants: &mut Grants, decision: Decision<T>) -> Result<T, Failure> {
    decision.events.into_iter().for_each(|event| grants.apply(event));
    decision.answer
}

fn exchanged() -> Grants {
    let mut grants = given(None);
    let decision = grants.exchange(&exchange(), 59);
    take(&mut grants, decision).unwrap();
    tokens(&mut grants, "a", "r");
    grants
}

#[test]
fn a_code_is_good_once() {
    let mut grants = exchanged();
    assert_eq!(grants.access("a", 999), Ok(&grant()));
    let again = grants.exchange(&exchange(), 59);
    assert_eq!(take(&mut grants, again).unwrap_err(), Failure::CodeReused);
    assert_eq!(grants.access("a", 999), Err(Failure::TokenRevoked));
    let refresh = grants.refresh("shop", "r", 999);
    assert_eq!(take(&mut grants, refresh).unwrap_err(), Failure::RefreshRejected);
}

#[test]
fn every_failure_after_authentication_spends_the_code() {
    let right = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let cases = [
        (None, Exchange { client: "other", ..exchange() }, 1, Failure::CodeRejected),
        (None, Exchange { redirect_uri: "http://shop/cb/", ..exchange() }, 1, Failure::RedirectUri),
        (None, Exchange { verifier: Some(right), ..exchange() }, 1, Failure::CodeRejected),
        (Some(challenge), exchange(), 1, Failure::CodeRejected),
        (Some(challenge), Exchange { verifier: Some("wrong"), ..exchange() }, 1, Failure::CodeRejected),
        (None, exchange(), 60, Failure::CodeRejected),
    ];
    for (challenge, shown, now, failure) in cases {
        let mut grants = given(challenge);
        let decision = grants.exchange(&shown, now);
        assert_eq!(take(&mut grants, decision).unwrap_err(), failure, "{shown:?}");
        let honest = Exchange { verifier: challenge.map(|_| right), ..exchange() };
        let decision = grants.exchange(&honest, now);
        assert_eq!(take(&mut grants, decision).unwrap_err(), Failure::CodeReused, "{shown:?}");
    }
    let mut grants = given(Some(challenge));
    let decision = grants.exchange(&Exchange { verifier: Some(right), ..exchange() }, 1);
    assert_eq!(take(&mut grants, decision).unwrap(), ("c".to_owned(), grant()));
}

#[test]
fn a_refresh_token_is_good_once_and_its_reuse_voids_the_family() {
    let mut grants = exchanged();
    let decision = grants.refresh("shop", "r", 1500);
    take(&mut grants, decision).unwrap();
    tokens(&mut grants, "a2", "r2");
    assert!(grants.access("a2", 1).is_ok());
    let decision = grants.refresh("shop", "r", 1500);
    assert_eq!(take(&mut grants, decision).unwrap_err(), Failure::RefreshRejected);
    assert_eq!(grants.access("a2", 1), Err(Failure::TokenRevoked));
    let decision = grants.refresh("shop", "r2", 1);
    assert_eq!(take(&mut grants, decision).unwrap_err(), Failure::RefreshRejected);
}

#[test]
fn a_refresh_token_belongs_to_its_client_and_ends() {
    let mut grants = exchanged();
    for (client, token, now) in [("other", "r", 1), ("shop", "a", 1), ("shop", "r", 2000)] {
        let decision = grants.refresh(client, token, now);
        assert!(decision.events.is_empty());
        assert_eq!(take(&mut grants, decision).unwrap_err(), Failure::RefreshRejected);
    }
    assert!(grants.refresh("shop", "r", 1999).answer.is_ok());
}

#[test]
fn access_tokens_end_are_revoked_or_unknown() {
    let mut grants = exchanged();
    assert_eq!(grants.access("a", 1000), Err(Failure::TokenExpired));
    assert_eq!(grants.access("r", 1), Err(Failure::TokenUnknown), "a refresh token is no access token");
    grants.apply(Event::Expired { at: 5 });
    assert_eq!(grants.access("a", 5), Err(Failure::TokenExpired));
    for event in grants.revoke_all() {
        grants.apply(event);
    }
    assert_eq!(grants.access("a", 1), Err(Failure::TokenRevoked));
}

#[test]
fn the_events_of_a_state_give_the_state() {
    let mut grants = exchanged();
    let decision = grants.refresh("shop", "r", 1);
    take(&mut grants, decision).unwrap();
    tokens(&mut grants, "a2", "r2");
    let decision = grants.exchange(&exchange(), 1);
    take(&mut grants, decision).unwrap_err();
    let text = serde_json::to_string(&grants.events()).unwrap();
    let mut again = Grants::default();
    for event in serde_json::from_str::<Vec<Event>>(&text).unwrap() {
        again.apply(event);
    }
    assert_eq!(again, grants);
}

#[test]
fn what_no_request_can_be_about_is_forgotten() {
    let mut grants = exchanged();
    grants.forget(DAY);
    assert_eq!(grants.access("a", DAY), Err(Failure::TokenExpired), "told from an unknown token for a day");
    grants.forget(DAY + 2000);
    assert_eq!(grants, Grants::default());
}
