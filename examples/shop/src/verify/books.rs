//! The books of the shop, read once, and what must hold between them. Pure but for [`Books::read`].

use std::collections::{BTreeMap, BTreeSet};

use onceward_backend::BackendError;

use super::Invariant;
use crate::catalog::{Catalog, OPENING_BALANCE};
use crate::orders::{Bought, Order};
use crate::stores::Stores;
use crate::wallet::Entry;

/// What the databases say.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    users: BTreeSet<String>,
    orders: Vec<Order>,
    /// Each with its order.
    lines: Vec<(String, Bought)>,
    stock: BTreeMap<String, i64>,
    moves: BTreeMap<(String, String), i64>,
    wallets: BTreeMap<String, i64>,
    ledger: Vec<Entry>,
    sent: BTreeMap<String, i64>,
}

impl Books {
    pub(super) async fn read(stores: &Stores) -> Result<Self, BackendError> {
        let users = stores.users.ids().await?.into_iter().collect();
        let (orders, lines) = (stores.orders.all().await?, stores.orders.all_lines().await?);
        let (stock, moves) = stores.stock.shelves().await?;
        let (wallets, ledger) = stores.wallet.all().await?;
        let sent = stores.notices.counts().await?;
        Ok(Self { users, orders, lines, stock, moves, wallets, ledger, sent })
    }

    /// An order that was placed after `on_its_way` need not be notified yet.
    pub(super) fn check(&self, catalog: &Catalog, on_its_way: i64) -> Vec<Invariant> {
        vec![
            self.stock(catalog),
            self.wallets(),
            self.orders_sound(),
            self.debits(),
            self.moves(),
            self.tokens(),
            self.notifications(on_its_way),
        ]
    }

    /// By id. An order counts as long as it is not cancelled.
    fn live(&self) -> BTreeMap<&str, &Order> {
        let live = self.orders.iter().filter(|order| order.status != "cancelled");
        live.map(|order| (order.id.as_str(), order)).collect()
    }

    fn live_lines(&self) -> impl Iterator<Item = &(String, Bought)> {
        let live = self.live();
        self.lines.iter().filter(move |(order, _)| live.contains_key(order.as_str()))
    }

    /// Per SKU: initial = stock + sold in live orders.
    fn stock(&self, catalog: &Catalog) -> Invariant {
        let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
        for (_, line) in self.live_lines() {
            *sold.entry(&line.sku).or_default() += line.quantity;
        }
        let mut wrong = Vec::new();
        for product in catalog.products() {
            let sold = sold.get(product.sku.as_str()).copied().unwrap_or(0);
            match self.stock.get(&product.sku) {
                None => wrong.push(format!("{} has no stock row", product.sku)),
                Some(left) if left + sold != product.initial_stock => {
                    wrong.push(format!("{}: {left} left + {sold} sold is not {}", product.sku, product.initial_stock));
                }
                Some(_) => {}
            }
        }
        let strange = self.stock.keys().filter(|sku| catalog.product(sku).is_none());
        wrong.extend(strange.map(|sku| format!("{sku} is in stock and not in the catalogue")));
        invariant("stock-conserved", wrong, format!("{} SKUs, {} sold", self.stock.len(), sold.values().sum::<i64>()))
    }

    /// Per user: balance = initial + ledger.
    fn wallets(&self) -> Invariant {
        let mut sums: BTreeMap<&str, i64> = self.wallets.keys().map(|user| (user.as_str(), 0)).collect();
        for entry in &self.ledger {
            *sums.entry(&entry.user_id).or_default() += entry.amount;
        }
        let wrong = sums.iter().filter_map(|(user, sum)| match self.wallets.get(*user) {
            None => Some(format!("{user} has a ledger and no wallet")),
            Some(balance) if OPENING_BALANCE + sum != *balance => {
                Some(format!("{user}: {balance} is not {OPENING_BALANCE} + {sum}"))
            }
            Some(_) => None,
        });
        let fine = format!("{} wallets, {} entries", self.wallets.len(), self.ledger.len());
        invariant("wallets-balance", wrong.collect(), fine)
    }

    /// Each order is a known user's and charges what its lines say.
    fn orders_sound(&self) -> Invariant {
        let live = self.live();
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for (order, line) in &self.lines {
            *sums.entry(order).or_default() += line.quantity * line.price;
        }
        let mut wrong = Vec::new();
        for (id, order) in &live {
            match sums.get(id) {
                None => wrong.push(format!("order {id} has no line")),
                Some(sum) if *sum != order.total => wrong.push(format!("order {id}: {} is not {sum}", order.total)),
                Some(_) => {}
            }
            if !self.users.contains(&order.user_id) {
                wrong.push(format!("order {id} is of an unknown user"));
            }
        }
        invariant("orders-sound", wrong, format!("{} orders, {} lines", live.len(), self.lines.len()))
    }

    /// Each live order has its debit, from its own user's wallet, and each debit its order.
    fn debits(&self) -> Invariant {
        let live = self.live();
        let debits: BTreeMap<_, _> = self.ledger.iter().map(|entry| (entry.reference.as_str(), entry)).collect();
        let paid = |order: &Order| {
            debits
                .get(order.id.as_str())
                .is_some_and(|debit| debit.amount == -order.total && debit.user_id == order.user_id)
        };
        let unpaid = live.values().filter(|order| !paid(order));
        let unpaid = unpaid.map(|order| format!("order {} over {} has no such debit", order.id, order.total));
        let orphans = debits.keys().filter(|order| !live.contains_key(*order));
        let orphans = orphans.map(|order| format!("a debit of {order} has no order"));
        let fine = format!("{} orders, {} debits", live.len(), debits.len());
        invariant("orders-paid", unpaid.chain(orphans).collect(), fine)
    }

    /// Each line of a live order was taken from stock, and nothing else was.
    fn moves(&self) -> Invariant {
        let lines: BTreeMap<(&str, &str), i64> =
            self.live_lines().map(|(order, line)| ((order.as_str(), line.sku.as_str()), line.quantity)).collect();
        let moves: BTreeMap<(&str, &str), i64> =
            self.moves.iter().map(|((order, sku), quantity)| ((order.as_str(), sku.as_str()), *quantity)).collect();
        let unmoved = lines.iter().filter(|(key, quantity)| moves.get(*key) != Some(*quantity));
        let unmoved = unmoved.map(|((order, sku), _)| format!("{sku} of order {order} was not taken from stock"));
        let orphans = moves.keys().filter(|key| !lines.contains_key(*key));
        let orphans = orphans.map(|(order, sku)| format!("{sku} was taken for {order}, which has no such line"));
        let fine = format!("{} lines, {} moves", lines.len(), moves.len());
        invariant("orders-stocked", unmoved.chain(orphans).collect(), fine)
    }

    fn tokens(&self) -> Invariant {
        let mut seen = BTreeSet::new();
        let twice = self.orders.iter().filter(|order| !seen.insert(order.order_token.as_str()));
        let wrong = twice.map(|order| format!("order {} shares its token", order.id)).collect();
        invariant("one-order-per-token", wrong, format!("{} tokens", seen.len()))
    }

    fn notifications(&self, on_its_way: i64) -> Invariant {
        let live = self.live();
        let counts = live.iter().filter_map(|(id, order)| {
            let sent = self.sent.get(*id).copied().unwrap_or(0);
            let fine = sent == 1 || (sent == 0 && order.created_at > on_its_way);
            (!fine).then(|| format!("order {id} was notified {sent} times"))
        });
        let orphans = self.sent.keys().filter(|id| !live.contains_key(id.as_str()));
        let wrong = counts.chain(orphans.map(|id| format!("a notification of {id} has no order"))).collect();
        invariant("notified-once", wrong, format!("{} orders, {} notified", live.len(), self.sent.len()))
    }
}

fn invariant(name: &'static str, wrong: Vec<String>, fine: String) -> Invariant {
    const SHOWN: usize = 5;
    let ok = wrong.is_empty();
    let more = wrong.len().saturating_sub(SHOWN);
    let mut detail = if ok { fine } else { wrong.into_iter().take(SHOWN).collect::<Vec<_>>().join("; ") };
    if more > 0 {
        detail.push_str(&format!(" and {more} more"));
    }
    Invariant { name, ok, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One user with one order over two units of the first product.
    fn sound(catalog: &Catalog) -> Books {
        let product = &catalog.products()[0];
        let (order_id, sku, user_id) = ("o1".to_owned(), product.sku.clone(), "qq:a".to_owned());
        let total = 2 * product.price;
        let mut stock: BTreeMap<_, _> =
            catalog.products().iter().map(|product| (product.sku.clone(), product.initial_stock)).collect();
        *stock.get_mut(&sku).unwrap() -= 2;
        Books {
            users: [user_id.clone()].into(),
            orders: vec![Order {
                id: order_id.clone(),
                user_id: user_id.clone(),
                status: "confirmed".into(),
                total,
                order_token: "t1".into(),
                created_at: 7,
                xid: "x1".into(),
            }],
            lines: vec![(order_id.clone(), Bought { sku: sku.clone(), quantity: 2, price: product.price })],
            stock,
            moves: [((order_id.clone(), sku), 2)].into(),
            wallets: [(user_id.clone(), OPENING_BALANCE - total)].into(),
            ledger: vec![Entry { reference: order_id.clone(), user_id, amount: -total, xid: "x1".into() }],
            sent: [(order_id, 1)].into(),
        }
    }

    #[test]
    fn a_young_order_need_not_be_notified_yet_but_never_twice() {
        let catalog = Catalog::seeded(1);
        let mut books = sound(&catalog);
        let holds = |books: &Books, on_its_way| books.notifications(on_its_way).ok;
        books.sent.clear();
        assert!(holds(&books, 6) && !holds(&books, 7));
        books.sent.insert("o1".into(), 2);
        assert!(!holds(&books, 6));
    }

    #[test]
    fn sound_books_pass_and_every_false_entry_is_found() {
        let catalog = Catalog::seeded(1);
        let books = sound(&catalog);
        assert!(
            books.check(&catalog, i64::MAX).iter().all(|invariant| invariant.ok),
            "{:?}",
            books.check(&catalog, i64::MAX)
        );
        let sku = &catalog.products()[0].sku;
        let other = Order { id: "o2".into(), ..books.orders[0].clone() };
        type Falsify<'a> = Box<dyn Fn(&mut Books) + 'a>;
        let cases: Vec<(&str, Falsify<'_>)> = vec![
            ("stock-conserved", Box::new(|b| *b.stock.get_mut(sku).unwrap() += 1)),
            ("stock-conserved", Box::new(|b| _ = b.stock.remove(sku))),
            ("stock-conserved", Box::new(|b| _ = b.stock.insert("strange".into(), 1))),
            ("wallets-balance", Box::new(|b| *b.wallets.get_mut("qq:a").unwrap() += 1)),
            ("wallets-balance", Box::new(|b| b.wallets.clear())),
            ("wallets-balance", Box::new(|b| _ = b.wallets.insert("qq:b".into(), 0))),
            ("orders-sound", Box::new(|b| b.orders[0].total += 1)),
            ("orders-sound", Box::new(|b| b.lines.clear())),
            ("orders-sound", Box::new(|b| b.users.clear())),
            ("orders-paid", Box::new(|b| b.ledger.clear())),
            ("orders-paid", Box::new(|b| b.ledger[0].user_id = "qq:b".into())),
            ("orders-paid", Box::new(|b| b.orders.clear())),
            ("orders-stocked", Box::new(|b| b.moves.clear())),
            ("orders-stocked", Box::new(|b| *b.moves.values_mut().next().unwrap() += 1)),
            ("orders-stocked", Box::new(|b| _ = b.moves.insert(("o9".into(), "x".into()), 1))),
            ("one-order-per-token", Box::new(|b| b.orders.push(other.clone()))),
            ("notified-once", Box::new(|b| b.sent.clear())),
            ("notified-once", Box::new(|b| *b.sent.values_mut().next().unwrap() += 1)),
            ("notified-once", Box::new(|b| _ = b.sent.insert("o9".into(), 1))),
            ("stock-conserved", Box::new(|b| b.orders[0].status = "cancelled".into())),
        ];
        for (name, falsify) in cases {
            let mut falsified = books.clone();
            falsify(&mut falsified);
            let found = falsified.check(&catalog, i64::MAX);
            assert!(found.iter().any(|invariant| invariant.name == name && !invariant.ok), "{name}: {found:?}");
        }
    }
}
