//! A server that runs, on a wire that falls silent or loses answers.

use testkit::{Mode, eventually};

use crate::scene::Scene;
use crate::support::SOON;

const REDIS: usize = 0;
const POSTGRES: usize = 1;
const MARIADB: usize = 2;
const RABBITMQ: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn each_server_falls_silent_and_speaks_again() {
    let scene = Scene::behind_proxies().await;
    for server in [REDIS, POSTGRES, MARIADB, RABBITMQ] {
        scene.proxies[server].set(Mode::Stall);
        match server {
            REDIS => {
                scene.refusals().await;
                scene.shows_pages(503).await;
            }
            POSTGRES => {
                scene.refusals().await;
                scene.shows_pages(200).await;
            }
            _ => {
                scene.orders(2).await;
                scene.shows_pages(200).await;
            }
        }
        scene.proxies[server].set(Mode::Pass);
        scene.well().await;
        scene.orders(2).await;
    }
    scene.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_commits_are_lost() {
    let scene = Scene::behind_proxies().await;
    let lost = [(POSTGRES, "COMMIT", 20), (MARIADB, "COMMIT", 5), (REDIS, "EVALSHA", 5)];
    for (server, text, times) in lost {
        for _ in 0..times * testkit::scale() {
            let proxy = &scene.proxies[server];
            proxy.set(Mode::DropReplyTo(text.as_bytes().to_vec()));
            eventually(SOON, async || if proxy.mode() == Mode::Pass { Ok(()) } else { Err("no answer was lost") })
                .await;
        }
        scene.orders(1).await;
    }
    for _ in 0..3 {
        scene.proxies[RABBITMQ].cut();
        scene.orders(1).await;
    }
    scene.well().await;
    scene.ends().await;
}
