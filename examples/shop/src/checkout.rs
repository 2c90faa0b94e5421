//! The confirm page and its submit: one order per token, one token per cart.
//!
//! Two things keep an order single. The token of the form is claimed before the work and spent after it, and the order
//! carries it as a unique column: that column decides. And every order names the one before it (`checkouts.last_order`),
//! compared and set inside the global transaction: of several tokens of one cart only one can follow, since the next
//! attempt first helps the last order out of the cart and then finds the cart changed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use onceward_backend::ErrorClass;
use onceward_cart_store::Owner;
use onceward_dtx::DtxError;
use onceward_idempotency::{Claim, Fingerprint, Spend, TokenId};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::cart::priced;
use crate::orders::{self, Bought, Order, OrderError};
use crate::pages::{CheckoutPage, OrderLine};
use crate::problem::{Problem, STORE_SILENT, chain};
use crate::session::Member;
use crate::stores::Stores;
use crate::visit::{Post, Visit, see_other};
use crate::wallet;

/// A submit answers within that time, or asks to come back.
const PATIENCE: Duration = Duration::from_secs(9);
const PAUSE: Duration = Duration::from_millis(25);
/// What still waits for a store then is given up: its browser was answered long ago, and its transaction is past its time.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// What would be bought now: the checked lines at today's prices, by SKU.
async fn basket(stores: &Stores, owner: &Owner) -> Result<Vec<Bought>, Problem> {
    let cart = stores.carts.get(owner).await?;
    let mut lines: Vec<_> = priced(&stores.catalog, &cart)
        .filter(|(line, _)| line.checked)
        .map(|(line, product)| Bought {
            sku: product.sku.clone(),
            quantity: line.quantity.into(),
            price: product.price,
        })
        .collect();
    lines.sort_by(|a, b| a.sku.cmp(&b.sku));
    Ok(lines)
}

/// What the page showed, as the token remembers it.
fn fingerprint(lines: &[Bought]) -> Fingerprint {
    let parts = lines.iter().flat_map(|line| [line.sku.clone(), line.quantity.to_string(), line.price.to_string()]);
    Fingerprint::parts(parts.collect::<Vec<_>>())
}

/// `GET /checkout`
pub async fn show(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let user = visit.member()?.id.as_str();
    let lines = basket(&app.stores, &visit.session.owner()).await?;
    if lines.is_empty() {
        return Err(Problem { instead: Some("/cart"), ..Problem::conflict("Nothing in your cart is checked.") });
    }
    let token = app.stores.tokens.issue(user, &fingerprint(&lines)).await?.into_string();
    let (balance, _) = wallet::statement(&app.stores, user).await?;
    let total = lines.iter().map(|line| line.quantity * line.price).sum();
    let rows: Vec<_> =
        lines.iter().map(|line| json!({ "sku": line.sku, "quantity": line.quantity, "price": line.price })).collect();
    let data = json!({ "order_token": token, "lines": rows, "total": total, "balance": balance });
    let name = |sku: &str| app.stores.catalog.product(sku).map_or("", |product| product.name.as_str()).to_owned();
    let lines = lines
        .into_iter()
        .map(|line| OrderLine { name: name(&line.sku), sku: line.sku, quantity: line.quantity, price: line.price })
        .collect();
    visit.answer(&app, data, |chrome| CheckoutPage { chrome, order_token: token, lines, total, balance }).await
}

/// `POST /checkout`
pub async fn submit(State(app): State<Arc<App>>, post: Post) -> Result<Response, Problem> {
    let member = post.visit.member()?.clone();
    let token = post.form.text("order_token").unwrap_or("").to_owned();
    // On a task of its own: a browser that goes away must not stop an order half way.
    let tasks = app.tasks.clone();
    let work = tasks.spawn(async move {
        let submit = Submit { stores: &app.stores, member: &member, token: &token };
        timeout(FORGOTTEN, submit.run()).await.unwrap_or_else(|_| Err(Problem::busy(STORE_SILENT)))
    });
    let order = work.await.map_err(Problem::internal)??;
    Ok(see_other(&format!("/orders/{order}")))
}

struct Submit<'a> {
    stores: &'a Stores,
    member: &'a Member,
    token: &'a str,
}

impl Submit<'_> {
    /// The id of the token's order, old or new.
    async fn run(&self) -> Result<String, Problem> {
        let invalid = || Problem::conflict("This order form is not valid. Open the confirm page again.");
        let user = self.member.id.as_str();
        let id = self.stores.tokens.open(user, self.token).ok_or_else(invalid)?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(order) = self.stores.orders.by_token(id).await? {
                match self.stores.decision(&order.xid).await? {
                    Some(true) => return self.finish(order, None).await,
                    // Being decided, or being undone: its row will stay or go.
                    _ => {
                        sleep(PAUSE).await;
                        continue;
                    }
                }
            }
            let Some(previous) = self.help_last_order().await? else {
                sleep(PAUSE).await;
                continue;
            };
            let lines = basket(self.stores, &self.owner()).await?;
            let claim = match self.stores.tokens.spend(user, self.token, &fingerprint(&lines)).await? {
                Spend::Accepted(claim) => claim,
                Spend::AlreadySpent { .. } => continue,
                Spend::InFlight { retry_after } => {
                    sleep(retry_after.min(PAUSE)).await;
                    continue;
                }
                Spend::Expired => {
                    let detail = "This confirm page is too old. Open it again.";
                    return Err(Problem::new(StatusCode::GONE, detail));
                }
                Spend::Mismatch => {
                    return Err(Problem::conflict("Your cart or a price changed. Look at the confirm page again."));
                }
                _ => return Err(invalid()),
            };
            match self.place(id, claim, &previous, &lines).await? {
                Some(order) => return Ok(order),
                None => sleep(PAUSE).await,
            }
        }
        Err(Problem::busy("Your order is waiting for another one. Send the form again."))
    }

    fn owner(&self) -> Owner {
        Owner::Member(self.member.id.clone())
    }

    /// The newest order of the user, which has left the cart when this answers. `None`: it is not decided yet.
    async fn help_last_order(&self) -> Result<Option<String>, Problem> {
        let (orders, user) = (&self.stores.orders, self.member.id.as_str());
        let Some(last) = orders.newest(user).await? else {
            orders.open(user).await?;
            return Ok(Some(String::new()));
        };
        let Some(order) = orders.by_id(&last).await? else {
            return Ok(last.is_empty().then_some(last));
        };
        match self.stores.decision(&order.xid).await? {
            Some(true) => {
                self.stores.take_from_cart(&order).await?;
                Ok(Some(last))
            }
            _ => Ok(None),
        }
    }

    /// The new order's id, or `None` to look at everything again.
    async fn place(
        &self,
        id: TokenId,
        claim: Claim,
        previous: &str,
        lines: &[Bought],
    ) -> Result<Option<String>, Problem> {
        if claim.is_takeover() && self.stores.orders.by_token(id).await?.is_some() {
            // An earlier attempt got that far. Its claim is ours to end once its transaction is decided.
            claim.release().await?;
            return Ok(None);
        }
        match orders::place(self.stores, self.member.id.as_str(), id, previous, lines).await {
            Ok(order) => {
                self.stores.outbox.arrivals().notify_one();
                let placed = self.stores.orders.by_id(&order).await?;
                let placed = placed.ok_or_else(|| Problem::internal("an order that was committed is not there"))?;
                self.finish(placed, Some(claim)).await.map(Some)
            }
            Err(error) => {
                // An unknown outcome keeps its claim: the transaction decides, then the sweeper ends the claim.
                let unknown = matches!(
                    &error,
                    OrderError::Transaction(DtxError::OutcomeUnknown { .. } | DtxError::Parked { .. })
                );
                if !unknown {
                    claim.release().await?;
                }
                refusal(error).map_or(Ok(None), Err)
            }
        }
    }

    /// Takes a decided order out of the cart and ends the claim on its token.
    async fn finish(&self, order: Order, claim: Option<Claim>) -> Result<String, Problem> {
        self.stores.take_from_cart(&order).await?;
        if let Some(claim) = claim
            && let Err(error) = claim.complete(order.id.clone().into_bytes()).await
        {
            // The order's unique column answers repeats; the sweeper ends the claim.
            tracing::warn!(error = chain(&error), "the claim of a placed order stays for the sweeper");
        }
        Ok(order.id)
    }
}

/// What to tell the buyer, or `None` to look at everything again.
fn refusal(error: OrderError) -> Option<Problem> {
    let error = match error {
        OrderError::NoStock { sku } => {
            return Some(Problem::conflict(format!("Not enough of {sku} is left.")));
        }
        OrderError::NoMoney => {
            return Some(Problem::conflict("Your balance does not cover this order."));
        }
        OrderError::Overtaken => return None,
        OrderError::Statement(error) => OrderError::Transaction(error.into()),
        error => error,
    };
    match &error {
        OrderError::Transaction(DtxError::RollbackInProgress { .. } | DtxError::RolledBack { .. }) => None,
        // The unique token, or another row of an attempt that is still being undone.
        OrderError::Transaction(DtxError::Backend(error)) if error.class() == ErrorClass::Conflict => None,
        OrderError::Transaction(error) if error.is_retryable() => None,
        error => {
            tracing::error!(error = chain(error), "an order failed");
            Some(Problem::busy("Your order could not be finished. Send the form again."))
        }
    }
}
