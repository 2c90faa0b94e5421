use serde::{Deserialize, Serialize};

use crate::Digest;

/// Who logged in, as the provider says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Identity {
    /// The key under which the application keeps its user.
    pub account: Account,
    /// What to show. It changes at will and identifies nobody.
    pub profile: Profile,
}

/// A user at a provider: the only thing that identifies them.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Account {
    /// The id of the provider, as registered in this client.
    pub provider: String,
    /// The provider's stable id of the user; at QQ the `openid`, which is another one for each client id.
    pub subject: String,
}

impl Account {
    /// An account from its parts.
    #[must_use]
    pub fn new(provider: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { provider: provider.into(), subject: subject.into() }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of("account", &[self.provider.as_bytes(), self.subject.as_bytes()])
    }
}

/// What a provider tells about a user to be shown.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Profile {
    /// The name to show, without control characters, at most 128 characters.
    pub nickname: Option<String>,
    /// An absolute `http` or `https` URL of a picture.
    pub avatar: Option<String>,
}

impl Profile {
    /// Keeps what may be shown: text is trimmed and bounded, anything but an absolute web URL is dropped.
    #[must_use]
    pub fn new(nickname: Option<&str>, avatar: Option<&str>) -> Self {
        let nickname = nickname.map(|name| name.chars().filter(|c| !c.is_control()).take(128).collect::<String>());
        let avatar = avatar.filter(|url| url.len() <= 2048).and_then(|url| oauth2::url::Url::parse(url).ok());
        Self {
            nickname: nickname.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
            avatar: avatar.filter(|url| matches!(url.scheme(), "http" | "https")).map(String::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_holds_only_what_may_be_shown() {
        let profile = Profile::new(Some(" 小\u{7}明 "), Some("javascript:alert(1)"));
        assert_eq!(profile.nickname.as_deref(), Some("小明"));
        assert_eq!(profile.avatar, None);
        let profile = Profile::new(Some("\n"), Some("https://q.example/100"));
        assert_eq!(profile.nickname, None);
        assert_eq!(profile.avatar.as_deref(), Some("https://q.example/100"));
    }

    #[test]
    fn accounts_of_two_providers_never_meet() {
        assert_ne!(Account::new("a", "bc").digest(), Account::new("ab", "c").digest());
    }
}
