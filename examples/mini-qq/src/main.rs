//! mini-qq as a program of its own.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mini_qq::{Client, Config, Server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A QQ-style login server for trying and testing logins. There are no passwords: keep it on loopback.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDR")]
    listen: SocketAddr,
    /// Folder for identities, clients, codes and tokens; without it they end with the process.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// An application that may ask for logins; `:pkce` at the end requires PKCE. May stand several times.
    #[arg(long = "client", value_name = "ID:SECRET:REDIRECT_URI[:pkce]", value_parser = client)]
    clients: Vec<Client>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .init();
    let done =
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(run(Args::parse())));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mini-qq: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(args.listen).await.map_err(|error| format!("{}: {error}", args.listen))?;
    let addr = listener.local_addr()?;
    let mut config = Config::default().with_origin(format!("http://{addr}"));
    config.data_dir = args.data;
    config.clients = args.clients;
    let server = Server::new(config)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    writeln!(io::stdout(), "mini-qq listening on http://{addr}")?;
    io::stdout().flush()?;
    server
        .serve(listener, async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
        .await?;
    Ok(())
}

/// The redirect URI has colons of its own, so only the first two and the last word separate.
fn client(text: &str) -> Result<Client, String> {
    let parts = text.split_once(':').and_then(|(id, rest)| Some((id, rest.split_once(':')?)));
    let Some((id, (secret, uri))) = parts else {
        return Err("wanted ID:SECRET:REDIRECT_URI".to_owned());
    };
    Ok(match uri.strip_suffix(":pkce") {
        Some(uri) => Client::new(id, secret, [uri]).with_pkce(),
        None => Client::new(id, secret, [uri]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_on_the_command_line() {
        let plain = client("shop:s3cret:http://127.0.0.1:8080/cb").unwrap();
        assert_eq!((plain.id.as_str(), plain.secret.as_str(), plain.pkce), ("shop", "s3cret", false));
        assert_eq!(plain.redirect_uris, ["http://127.0.0.1:8080/cb"]);
        let strict = client("shop:s:http://127.0.0.1:8080/cb:pkce").unwrap();
        assert!(strict.pkce);
        assert_eq!(strict.redirect_uris, ["http://127.0.0.1:8080/cb"]);
        assert!(client("shop:secret").is_err());
        assert!(client("shop").is_err());
    }
}
