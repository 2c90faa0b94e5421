#![doc = include_str!("../README.md")]

mod child;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod counted;
mod environment;
mod eventually;
#[cfg(any(feature = "mysql", feature = "nats", feature = "postgres", feature = "rabbitmq"))]
mod lent;
mod marks;
#[cfg(feature = "mysql")]
pub mod mysql;
mod namespace;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
mod proxy;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
mod ran;
#[cfg(feature = "redis")]
pub mod redis;
mod rng;
mod service;
#[cfg(any(feature = "mysql", feature = "nats", feature = "postgres", feature = "rabbitmq", feature = "redis"))]
mod teardown;
mod wire;

pub use child::{Child, Exit, Launch};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use counted::CountedPool;
pub use environment::{scale, seed, url};
pub use eventually::eventually;
#[cfg(any(feature = "mysql", feature = "nats", feature = "postgres", feature = "rabbitmq"))]
pub use lent::Lent;
pub use marks::Marks;
pub use namespace::{born, namespace};
pub use proxy::{Mode, Proxy};
pub use ran::{Ran, words};
pub use rng::Rng;
pub use service::Service;
pub use wire::{Spoil, Wire};
