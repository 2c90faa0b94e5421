//! The data folder: its lock, its settings, its keys.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onceward_backend::KeyRing;
use serde::{Deserialize, Serialize};

use crate::catalog::DEFAULT_SEED;

const SETTINGS: &str = "shop.json";
const LOCK: &str = "lock";
const WALLETS: &str = "wallets.lock";
/// What `--fresh` removes, with the companions that SQLite keeps beside a file.
const DATABASES: [&str; 9] = ["web", "oauth", "carts", "orders", "stock", "wallet", "notify", "broker", "tc"];

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process serves it.
    #[error("another shop runs on {}; stop it or give another --data", .0.display())]
    Locked(PathBuf),
    /// Another process has its wallets.
    #[error(
        "another process has the wallets of {}: a `shop wallet`, or a shop without --wallet-url; stop it, or give the shop \
         the --wallet-url",
        .0.display()
    )]
    WalletsTaken(PathBuf),
    /// It holds another catalogue than asked for.
    #[error("{} was made with --seed {kept}; leave --seed out, or start anew with --fresh", folder.display())]
    OtherSeed {
        /// The folder.
        folder: PathBuf,
        /// The seed that it was made with.
        kept: u64,
    },
    /// There is no shop in it.
    #[error("no shop has run in {}", .0.display())]
    Absent(PathBuf),
    /// One of its stores is gone.
    #[error("{} is missing; restore it, or start anew with --fresh", .0.display())]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its settings cannot be understood.
    #[error("{} is damaged; restore it, or start anew with --fresh", .0.display())]
    Damaged(PathBuf),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { path, source }
}

/// A data folder that this process alone uses; the lock ends with the process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if need be and locks it.
    ///
    /// # Errors
    /// [`FolderError::Locked`] if another process holds it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        std::fs::create_dir_all(path).map_err(at(path))?;
        Self::lock(path)
    }

    /// Locks a folder in which a shop has run.
    ///
    /// # Errors
    /// [`FolderError::Absent`] if none has, [`FolderError::Locked`] if one does.
    pub fn existing(path: &Path) -> Result<Self, FolderError> {
        if !path.join(SETTINGS).is_file() {
            return Err(FolderError::Absent(path.to_owned()));
        }
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, FolderError> {
        let lock = lock(&path.join(LOCK))?.ok_or_else(|| FolderError::Locked(path.to_owned()))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the shop's own files, and nothing else.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn clear(&self) -> Result<(), FolderError> {
        // The settings go last: without them the rest is not a shop's any more.
        let names = DATABASES.iter().flat_map(|name| ["", "-wal", "-shm"].map(|end| format!("{name}.db{end}")));
        for name in names.chain([SETTINGS.to_owned()]) {
            remove(&self.path.join(name), |path| std::fs::remove_file(path))?;
        }
        remove(&self.path.join("mini-qq"), |path| std::fs::remove_dir_all(path))
    }

    /// The settings, made at the first start.
    ///
    /// # Errors
    /// [`FolderError::OtherSeed`] if `seed` is not the one that the folder was made with.
    pub fn settings(&self, seed: Option<u64>) -> Result<Settings, FolderError> {
        match Settings::read(&self.path) {
            Err(FolderError::Absent(_)) => {
                let settings = Settings::random(seed.unwrap_or(DEFAULT_SEED)).map_err(at(&self.path))?;
                settings.write(&self.path)?;
                Ok(settings)
            }
            Ok(kept) if seed.is_some_and(|seed| seed != kept.seed) => {
                Err(FolderError::OtherSeed { folder: self.path.clone(), kept: kept.seed })
            }
            read => read,
        }
    }
}

/// The right to have the wallets of a folder; it ends with the process. A coordinator that takes itself for alone and one that
/// does not would else roll back each other's work.
#[derive(Debug)]
pub struct WalletsLock {
    _lock: File,
}

impl WalletsLock {
    /// Takes it.
    ///
    /// # Errors
    /// [`FolderError::WalletsTaken`] if another process has it.
    pub fn take(folder: &Path) -> Result<Self, FolderError> {
        let lock = lock(&folder.join(WALLETS))?;
        lock.map(|lock| Self { _lock: lock }).ok_or_else(|| FolderError::WalletsTaken(folder.to_owned()))
    }
}

/// None if another process has it.
fn lock(file: &Path) -> Result<Option<File>, FolderError> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(file).map_err(at(file))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(FolderError::Io { path: file.to_owned(), source }),
    }
}

fn remove(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), FolderError> {
    match how(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// What the first start decided: seed, key, and the shop's credentials at mini-qq. Readable by the owner only.
#[derive(Clone, Serialize, Deserialize)]
pub struct Settings {
    version: u32,
    /// The seed of the catalogue.
    pub seed: u64,
    key: String,
    /// The shop's client id at mini-qq.
    pub qq_client: String,
    /// The shop's client secret at mini-qq.
    pub qq_secret: String,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Settings {
    fn random(seed: u64) -> io::Result<Self> {
        let random = || -> io::Result<[u8; 32]> {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            Ok(bytes)
        };
        let client = u64::from_be_bytes(random()?[..8].try_into().unwrap_or_default()) % 900_000_000 + 100_000_000;
        Ok(Self {
            version: 1,
            seed,
            key: URL_SAFE_NO_PAD.encode(random()?),
            qq_client: client.to_string(),
            qq_secret: URL_SAFE_NO_PAD.encode(random()?),
        })
    }

    /// Reads the settings of a folder, locked or not.
    ///
    /// # Errors
    /// [`FolderError::Absent`] if there are none.
    pub fn read(folder: &Path) -> Result<Self, FolderError> {
        let path = folder.join(SETTINGS);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(FolderError::Absent(folder.to_owned()));
            }
            read => read.map_err(at(&path))?,
        };
        let settings: Self = serde_json::from_slice(&text).map_err(|_| FolderError::Damaged(path.clone()))?;
        if settings.version != 1 || settings.key_bytes().is_none() {
            return Err(FolderError::Damaged(path));
        }
        Ok(settings)
    }

    /// Finds the stores of a folder without opening any.
    ///
    /// # Errors
    /// [`FolderError::Missing`] names the first that is not there.
    pub fn stores_exist(folder: &Path) -> Result<(), FolderError> {
        let files = DATABASES.iter().map(|name| folder.join(format!("{name}.db")));
        files.into_iter().find(|file| !file.is_file()).map_or(Ok(()), |file| Err(FolderError::Missing(file)))
    }

    /// Whole or not at all: written beside, synced, renamed.
    fn write(&self, folder: &Path) -> Result<(), FolderError> {
        use std::os::unix::fs::OpenOptionsExt;
        let (path, beside) = (folder.join(SETTINGS), folder.join("shop.json.new"));
        let text = serde_json::to_vec_pretty(self).map_err(|error| at(&path)(error.into()))?;
        let options = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside);
        let mut file = options.map_err(at(&beside))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(at(&beside))?;
        std::fs::rename(&beside, &path).map_err(at(&path))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
    }

    /// The ring that signs cookies, tokens and ids.
    pub fn keys(&self) -> KeyRing {
        KeyRing::new(1, self.key_bytes().unwrap_or_default())
    }

    fn key_bytes(&self) -> Option<[u8; 32]> {
        URL_SAFE_NO_PAD.decode(&self.key).ok()?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_and_the_lock_excludes() {
        let folder = tempfile::tempdir().unwrap();
        let held = Folder::open(folder.path()).unwrap();
        assert!(matches!(Folder::open(folder.path()), Err(FolderError::Locked(path)) if path == folder.path()));
        let first = held.settings(Some(7)).unwrap();
        let again = held.settings(None).unwrap();
        assert_eq!((first.seed, &first.key, &first.qq_secret), (again.seed, &again.key, &again.qq_secret));
        assert!(matches!(held.settings(Some(8)), Err(FolderError::OtherSeed { kept: 7, .. })));
        std::fs::write(folder.path().join("mine.txt"), "kept").unwrap();
        held.clear().unwrap();
        assert!(matches!(Settings::read(folder.path()), Err(FolderError::Absent(_))));
        assert!(folder.path().join("mine.txt").exists(), "only the shop's own files go");
        drop(held);
        assert!(matches!(Folder::existing(folder.path()), Err(FolderError::Absent(_))));
    }

    #[test]
    fn secrets_are_not_printed_and_not_readable_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let settings = Folder::open(folder.path()).unwrap().settings(None).unwrap();
        assert!(!format!("{settings:?}").contains(&settings.qq_secret));
        let mode = std::fs::metadata(folder.path().join(SETTINGS)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn damaged_settings_are_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SETTINGS), "{\"version\":1").unwrap();
        assert!(matches!(Settings::read(folder.path()), Err(FolderError::Damaged(_))));
    }
}
