//! Cookies, and what every store of sessions does.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::*;
use crate::tables::Tables;

/// Sessions in a file that goes with the test.
async fn sql() -> (tempfile::TempDir, Arc<dyn SessionStore>) {
    let folder = tempfile::tempdir().unwrap();
    let pool = onceward_backend::sqlite::open(folder.path().join("web.db")).await.unwrap();
    TABLES.run(&pool).await.unwrap();
    (folder, Arc::new(Tables::new(pool)))
}

fn sessions(store: Arc<dyn SessionStore>) -> Sessions {
    Sessions::new(store, KeyRing::new(1, [1; 32]), false)
}

fn alice() -> Member {
    Member { id: MemberId::new("qq:alice").unwrap(), nickname: "Älice".into() }
}

/// The session that a browser with this session's cookie has.
async fn seen(sessions: &Sessions, session: &Session) -> Session {
    let mut headers = HeaderMap::new();
    let value = format!("other=1; shop_session={}", session.cookie(sessions.keys()));
    headers.insert("cookie", value.parse().unwrap());
    sessions.find(&headers).await.unwrap()
}

/// The contract of a store.
async fn contract(store: Arc<dyn SessionStore>) {
    let sessions = sessions(Arc::clone(&store));
    let guest = seen(&sessions, &Session::guest()).await;
    assert!(guest.verified && guest.member.is_none());
    assert!(guest.csrf_matches(sessions.keys(), &guest.csrf(sessions.keys())));
    assert!(!guest.csrf_matches(sessions.keys(), &Session::guest().csrf(sessions.keys())));

    // Thirty-two logins of one guest: each is a session, one of them ends the guest's and has its cart to merge.
    let news: Vec<_> = (0..32).map(|_| Session::begin(alice())).collect();
    let users: Vec<_> = (0..32).map(|n| format!("qq:user-{n}")).collect();
    let signed = guest.guest_id().signed(sessions.keys());
    let logins = news.iter().cloned().zip(users.iter().cloned()).map(|(new, user)| {
        let (store, old, signed) = (Arc::clone(&store), guest.clone(), signed.clone());
        #[allow(clippy::disallowed_methods, reason = "a race needs tasks")]
        tokio::spawn(async move {
            let merge = Some(Merge { guest: &signed, user: &user });
            store.switch(&Switch { old: &old, new: &new, merge }).await.unwrap()
        })
    });
    let ended: Vec<_> = join_all(logins).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1, "a session ends once");
    let first = ended.iter().position(|ended| *ended).unwrap();
    assert_eq!(store.merges().await.unwrap(), [(signed.clone(), users[first].clone())]);
    for new in &news {
        assert_eq!(seen(&sessions, new).await.member, Some(alice()));
    }
    let after = seen(&sessions, &guest).await;
    assert!(!after.verified && after.id != guest.id, "an ended session's cookie makes a new guest");

    // A repeat whose answer was lost hears the same, whatever was merged meanwhile.
    store.merged(&signed).await.unwrap();
    for ((new, user), ended) in news.iter().zip(&users).zip(&ended) {
        let repeat = Switch { old: &guest, new, merge: Some(Merge { guest: &signed, user }) };
        assert_eq!(store.switch(&repeat).await.unwrap(), *ended);
    }
    assert_eq!(store.merges().await.unwrap(), []);

    // A member's session ends too, and is then not one that the store has lost.
    let member = seen(&sessions, &news[0]).await;
    let csrf = member.csrf(sessions.keys());
    let out = Session::guest();
    assert!(store.switch(&Switch { old: &member, new: &out, merge: None }).await.unwrap());
    assert!(!store.switch(&Switch { old: &member, new: &Session::guest(), merge: None }).await.unwrap());
    let after = seen(&sessions, &member).await;
    assert!(!after.verified && after.member.is_none() && !after.is_lost(sessions.keys(), &csrf));
    assert_eq!(seen(&sessions, &news[1]).await.member, Some(alice()), "the others go on");

    // What the browser does not have is not ended.
    let nobody = Session::guest();
    assert!(!store.switch(&Switch { old: &nobody, new: &Session::begin(alice()), merge: None }).await.unwrap());
    assert!(seen(&sessions, &nobody).await.verified);

    // A member's session of which the store knows nothing: a guest, whose forms are to be sent again after a login.
    let lost = Session::begin(alice());
    let after = seen(&sessions, &lost).await;
    assert!(!after.verified && after.member.is_none() && after.id != lost.id);
    assert!(after.is_lost(sessions.keys(), &lost.csrf(sessions.keys())));
    assert!(!after.is_lost(sessions.keys(), &csrf) && !after.csrf_matches(sessions.keys(), &csrf));
    store.purge().await.unwrap();
    store.health().await.unwrap();
    assert_eq!(seen(&sessions, &news[1]).await.member, Some(alice()));
    let ids: BTreeSet<_> = news.iter().map(Session::key).collect();
    assert_eq!(ids.len(), news.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sql_database_keeps_the_contract() {
    let (_folder, store) = sql().await;
    contract(store).await;
}

#[cfg(feature = "test-redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_keeps_the_contract() {
    let prefix = testkit::redis::prefix();
    let redis = onceward_backend::Redis::connect(prefix.url()).await.unwrap().with_prefix(prefix.as_str());
    contract(Arc::new(RedisSessions::new(redis))).await;
}

#[tokio::test]
async fn other_cookies_do_not_hide_ours() {
    let (_folder, store) = sql().await;
    let sessions = sessions(store);
    let ours = format!("shop_session={}", Session::guest().cookie(sessions.keys()));
    for around in [format!("n=\u{fc}; {ours}"), format!("shop_session=bad; {ours}"), format!("{ours}; \u{ff}")] {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", axum::http::HeaderValue::from_bytes(around.as_bytes()).unwrap());
        assert!(sessions.find(&headers).await.unwrap().verified, "{around}");
    }
    let mut headers = HeaderMap::new();
    let latin1 = [b"n=\xfc; ".as_slice(), ours.as_bytes()].concat();
    headers.insert("cookie", axum::http::HeaderValue::from_bytes(&latin1).unwrap());
    assert!(sessions.find(&headers).await.unwrap().verified);
}

#[tokio::test]
async fn a_guest_cannot_name_itself_a_member() {
    let (_folder, store) = sql().await;
    let sessions = sessions(store);
    let guest = Session::guest();
    let mut forged = URL_SAFE_NO_PAD.decode(guest.cookie(sessions.keys())).unwrap();
    forged[1] = 1;
    for value in [URL_SAFE_NO_PAD.encode(&forged), "x".into(), String::new(), "a".repeat(5_000)] {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", format!("shop_session={value}").parse().unwrap());
        assert!(!sessions.find(&headers).await.unwrap().verified);
    }
}
