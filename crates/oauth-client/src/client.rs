use std::{collections::BTreeMap, fmt, sync::Arc};

use onceward_backend::KeyRing;
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::{
    Account, Clock, Error, Failure, Identity, Options, Provider, Stores, SystemClock, digest::Digest,
    exchange::Exchange, http::Http, tokens,
};

/// Social login for an application: begins logins, ends them, keeps the tokens. A clone is the same client.
///
/// ```
/// # use onceward_backend::KeyRing;
/// # use onceward_oauth_client::{BrowserBinder, OAuthClient, Provider, Stores, store::MemoryStore};
/// # use tokio_util::task::TaskTracker;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), onceward_oauth_client::Error> {
/// let oauth = OAuthClient::builder(KeyRing::new(1, [7; 32]), Stores::new(MemoryStore::new()), TaskTracker::new())
///     .provider(Provider::qq("101", "app-key".into(), "https://shop.example/auth/qq/callback"))
///     .build()?;
/// let browser = BrowserBinder::generate()?;
/// let to = oauth.begin("qq", &browser, b"/cart").await?;
/// assert!(to.url.starts_with("https://graph.qq.com/oauth2.0/authorize?response_type=code"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OAuthClient(Arc<Inner>);

/// What a client is made of, before its parts are checked.
#[derive(Debug)]
pub struct Builder {
    keys: KeyRing,
    stores: Stores,
    tasks: TaskTracker,
    options: Options,
    clock: Arc<dyn Clock>,
    providers: Vec<Provider>,
}

pub(crate) struct Inner {
    pub(crate) keys: KeyRing,
    pub(crate) stores: Stores,
    pub(crate) tasks: TaskTracker,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) http: Http,
    /// Wakes repeated callbacks of this process; those of another one poll.
    pub(crate) ended: Notify,
    providers: BTreeMap<String, Provider>,
}

impl Inner {
    pub(crate) fn provider(&self, id: &str) -> Result<&Provider, Error> {
        self.providers.get(id).ok_or(Error::UnknownProvider)
    }

    /// For metrics and spans, where only ids of our own may stand.
    pub(crate) fn label(&self, id: &str) -> &str {
        self.providers.get(id).map_or("unknown", Provider::id)
    }
}

impl OAuthClient {
    /// Starts with what every client needs: the keys that seal what is stored, the places where it is stored, and
    /// the tracker of the tasks that must end before the process does (`tasks.close(); tasks.wait().await`).
    #[must_use]
    pub fn builder(keys: KeyRing, stores: Stores, tasks: TaskTracker) -> Builder {
        let clock = Arc::new(SystemClock);
        Builder { keys, stores, tasks, options: Options::default(), clock, providers: Vec::new() }
    }

    /// The providers, by id.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.0.providers.values()
    }

    /// The account's access token. One that has expired is never given out.
    ///
    /// # Errors
    /// [`Error::ReauthRequired`] when there is no live one, and the store's.
    pub async fn access_token(&self, account: &Account) -> Result<SecretString, Error> {
        let tokens = self.tokens(account).await?;
        tokens.live(self.0.clock.now()).cloned().ok_or(Error::ReauthRequired)
    }

    /// Asks the provider again who the account is, with its stored token.
    ///
    /// # Errors
    /// [`Error::ReauthRequired`] when there is no live token or the provider does not take it any more,
    /// [`Failure::SubjectMismatch`] when the answer is about somebody else, and what else may go wrong in asking.
    pub async fn profile(&self, account: &Account) -> Result<Identity, Error> {
        let tokens = self.tokens(account).await?;
        let inner = &self.0;
        let exchange = Exchange {
            provider: inner.provider(&account.provider)?,
            http: &inner.http,
            options: &inner.options,
            clock: inner.clock.as_ref(),
        };
        match exchange.identity(&tokens).await {
            Ok(identity) if identity.account == *account => Ok(identity),
            Ok(_) => Err(Failure::SubjectMismatch.into()),
            Err(Failure::TokenRejected) => Err(Error::ReauthRequired),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Deletes the account's tokens here; answers whether there were any.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(&self, account: &Account) -> Result<bool, Error> {
        Ok(self.0.stores.vault.delete_tokens(&account.digest()).await?)
    }

    /// Removes at most `limit` expired logins and as many codes; answers how many went. Call it now and then.
    ///
    /// # Errors
    /// The store's.
    pub async fn purge(&self, limit: u32) -> Result<u64, Error> {
        let flows = self.0.stores.flows.purge_flows(limit).await?;
        Ok(flows + self.0.stores.codes.purge_codes(limit).await?)
    }

    /// Fails if a store cannot be used now: for a readiness check. Providers are not asked.
    ///
    /// # Errors
    /// The store's.
    pub async fn health(&self) -> Result<(), Error> {
        // Names nothing: any answer is a good one.
        let nothing = Digest::of("health", &[]);
        self.0.stores.flows.load(&nothing).await?;
        self.0.stores.vault.load_tokens(&nothing).await?;
        Ok(())
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    async fn tokens(&self, account: &Account) -> Result<tokens::Tokens, Error> {
        let vault = self.0.stores.vault.as_ref();
        tokens::load(vault, &self.0.keys, account).await?.ok_or(Error::ReauthRequired)
    }
}

impl Builder {
    /// Adds a provider.
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.providers.push(provider);
        self
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets the clock by which tokens expire.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the parts and makes the client.
    ///
    /// # Errors
    /// [`Error::Config`]: a URL that is neither `https` nor this machine's, an id that stands twice, options that
    /// contradict each other.
    pub fn build(self) -> Result<OAuthClient, Error> {
        self.options.check()?;
        let mut providers = BTreeMap::new();
        for provider in self.providers {
            let provider = provider.checked()?;
            if let Some(twice) = providers.insert(provider.id().to_owned(), provider) {
                return Err(Error::Config(format!("provider {} stands twice", twice.id())));
            }
        }
        let tls = providers.values().any(Provider::uses_tls);
        let http = Http::new(&self.options, tls)?;
        Ok(OAuthClient(Arc::new(Inner {
            keys: self.keys,
            stores: self.stores,
            tasks: self.tasks,
            options: self.options,
            clock: self.clock,
            http,
            ended: Notify::new(),
            providers,
        })))
    }
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient")
            .field("providers", &self.providers.keys())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
