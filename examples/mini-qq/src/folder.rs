//! The data folder: `identity.json` written whole and atomically, `grants.jsonl` appended to, `lock`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::grants::{Event, Grants};
use crate::key::Key;

/// A registered client as it is kept: the secret is not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Registration {
    /// A MAC of the secret under the server's key.
    pub(crate) secret: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) pkce: bool,
    pub(crate) unionid: bool,
}

/// Clients by id.
pub(crate) type Clients = BTreeMap<String, Registration>;

#[derive(Serialize, Deserialize)]
struct Identity {
    key: String,
    clients: Clients,
}

/// Where changes are recorded. Without a folder nothing is.
#[derive(Debug, Default)]
pub(crate) struct Folder(Option<Open>);

#[derive(Debug)]
struct Open {
    dir: PathBuf,
    journal: File,
    /// Held until the server is gone; the operating system lets go of it when the process dies.
    _lock: File,
}

/// What was in the folder.
pub(crate) struct Contents {
    pub(crate) folder: Folder,
    pub(crate) key: Key,
    pub(crate) clients: Clients,
    pub(crate) grants: Grants,
}

/// Opens the folder, creating it and its key when they are absent.
pub(crate) fn open(dir: Option<&Path>, now: u64) -> Result<Contents, Error> {
    let Some(dir) = dir else {
        let (key, clients, grants) = (Key::generate()?, Clients::default(), Grants::default());
        return Ok(Contents { folder: Folder::default(), key, clients, grants });
    };
    std::fs::create_dir_all(dir).map_err(data(dir))?;
    let lock = lock(dir)?;
    let (key, clients) = read_identity(dir)?;
    let mut grants = read_journal(&dir.join(JOURNAL))?;
    grants.forget(now);
    let journal = compact(dir, &grants)?;
    let folder = Folder(Some(Open { dir: dir.to_owned(), journal, _lock: lock }));
    folder.write_identity(&key, &clients)?;
    Ok(Contents { folder, key, clients, grants })
}

impl Folder {
    /// Records changes that belong together. After this a SIGKILL loses nothing of them; a power cut may.
    pub(crate) fn record(&mut self, events: &[Event]) -> io::Result<()> {
        match &mut self.0 {
            Some(open) if !events.is_empty() => open.journal.write_all(&line(events)?),
            _ => Ok(()),
        }
    }

    pub(crate) fn write_identity(&self, key: &Key, clients: &Clients) -> Result<(), Error> {
        let Some(open) = &self.0 else { return Ok(()) };
        let identity = Identity { key: key.to_text(), clients: clients.clone() };
        let path = open.dir.join(IDENTITY);
        let text = serde_json::to_vec_pretty(&identity).map_err(io::Error::from).map_err(data(&path))?;
        replace(&open.dir, IDENTITY, &text).map(drop)
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(data(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::Data { path, source }),
    }
}

fn read_identity(dir: &Path) -> Result<(Key, Clients), Error> {
    let path = dir.join(IDENTITY);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((Key::generate()?, Clients::default()));
        }
        Err(source) => return Err(Error::Data { path, source }),
    };
    let corrupt = |source| Error::Corrupt { path: path.clone(), line: 1, source };
    let identity: Identity = serde_json::from_slice(&text).map_err(corrupt)?;
    // A new key would make everybody a stranger, so a bad one is not replaced.
    let key = Key::from_text(&identity.key)
        .ok_or_else(|| corrupt(<serde_json::Error as serde::de::Error>::custom("the key is not one of 32 bytes")))?;
    Ok((key, identity.clients))
}

fn read_journal(path: &Path) -> Result<Grants, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Grants::default()),
        Err(source) => return Err(Error::Data { path: path.to_owned(), source }),
    };
    // The line that a kill has torn was never answered: everything behind the last line end is ignored.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut grants = Grants::default();
    for (number, line) in text[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let events: Vec<Event> = serde_json::from_slice(line).map_err(|source| Error::Corrupt {
            path: path.to_owned(),
            line: number + 1,
            source,
        })?;
        events.into_iter().for_each(|event| grants.apply(event));
    }
    Ok(grants)
}

/// Replaces the journal by the shortest one, and opens it for appending.
fn compact(dir: &Path, grants: &Grants) -> Result<File, Error> {
    let path = dir.join(JOURNAL);
    let text = line(&grants.events()).map_err(data(&path))?;
    replace(dir, JOURNAL, &text)?;
    OpenOptions::new().append(true).open(&path).map_err(data(&path))
}

fn line(events: &[Event]) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(events)?;
    line.push(b'\n');
    Ok(line)
}

/// Writes a file so that after any crash the old or the new one is there.
fn replace(dir: &Path, name: &str, text: &[u8]) -> Result<(), Error> {
    let (path, temporary) = (dir.join(name), dir.join(format!("{name}.new")));
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(data(&path))
}

fn data(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |source| Error::Data { path: path.to_owned(), source }
}

const IDENTITY: &str = "identity.json";
const JOURNAL: &str = "grants.jsonl";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::Grant;

    fn access(token: &str) -> Event {
        let grant = Grant { client: "a".to_owned(), user: "alice".to_owned(), scope: String::new() };
        Event::Access { token: token.to_owned(), family: "f".to_owned(), grant, expires: u64::MAX }
    }

    #[test]
    fn what_is_recorded_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = open(Some(dir.path()), 0).unwrap();
        first.folder.record(&[access("t1")]).unwrap();
        let key = first.key.to_text();
        drop(first);
        let mut second = open(Some(dir.path()), 0).unwrap();
        second.folder.record(&[access("t2")]).unwrap();
        drop(second);
        let third = open(Some(dir.path()), 0).unwrap();
        assert_eq!(third.key.to_text(), key);
        assert!(third.grants.access("t1", 0).is_ok() && third.grants.access("t2", 0).is_ok());
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_a_bad_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = open(Some(dir.path()), 0).unwrap();
        first.folder.record(&[access("t1")]).unwrap();
        drop(first);
        let path = dir.path().join(JOURNAL);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"[{\"event\":\"spe"].concat()).unwrap();
        assert!(open(Some(dir.path()), 0).unwrap().grants.access("t1", 0).is_ok());
        std::fs::write(&path, b"[]\n[{\"event\":\"spe\n").unwrap();
        assert!(matches!(open(Some(dir.path()), 0), Err(Error::Corrupt { line: 2, .. })));
    }

    #[test]
    fn a_bad_identity_is_not_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(IDENTITY), br#"{"key":"short","clients":{}}"#).unwrap();
        assert!(matches!(open(Some(dir.path()), 0), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn two_servers_do_not_share_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(Some(dir.path()), 0).unwrap();
        assert!(matches!(open(Some(dir.path()), 0), Err(Error::InUse { .. })));
        drop(first);
        assert!(open(Some(dir.path()), 0).is_ok());
    }
}
