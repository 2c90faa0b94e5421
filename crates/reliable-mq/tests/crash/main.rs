//! Kills a real process at the worst moments and looks at what its successor makes of it. Without a test harness: the
//! program is its own child.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "a test program")]

mod child;
mod parent;
mod place;

#[cfg(feature = "test-mysql")]
use onceward_backend::sqlx::MySql;
#[cfg(feature = "test-postgres")]
use onceward_backend::sqlx::Postgres;
use onceward_backend::sqlx::Sqlite;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["child", database, url, broker, stop_at, producers] => {
                let producers = producers.parse().unwrap();
                match database {
                    "sqlite" => child::run::<Sqlite>(url, broker, stop_at, producers).await,
                    #[cfg(feature = "test-postgres")]
                    "postgres" => child::run::<Postgres>(url, broker, stop_at, producers).await,
                    #[cfg(feature = "test-mysql")]
                    "mysql" => child::run::<MySql>(url, broker, stop_at, producers).await,
                    other => panic!("no database {other}"),
                }
            }
            _ => {
                let databases = async {
                    [
                        parent::run::<Sqlite>().await,
                        #[cfg(feature = "test-postgres")]
                        parent::run::<Postgres>().await,
                        #[cfg(feature = "test-mysql")]
                        parent::run::<MySql>().await,
                    ]
                };
                #[cfg(not(feature = "test-kafka"))]
                let passed: u32 = databases.await.iter().sum();
                #[cfg(feature = "test-kafka")]
                let passed = {
                    let (databases, kafka) = tokio::join!(databases, parent::run_on_kafka());
                    databases.iter().sum::<u32>() + kafka
                };
                println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
            }
        }
    });
}
