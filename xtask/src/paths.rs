//! Where things are: the workspace, the folder of the services, programs.

use crate::Result;
use std::collections::hash_map::DefaultHasher;
use std::env::var_os;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Folders that hold servers but are missing from many a plain user's `PATH`.
const ALSO: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The root of the workspace: told by cargo, else the nearest folder upwards whose manifest is a workspace.
pub(crate) fn workspace() -> Result<PathBuf> {
    let here = std::env::current_dir().map_err(|e| format!("current folder: {e}"))?;
    let start = var_os("CARGO_MANIFEST_DIR").map_or(here, PathBuf::from);
    let found = start.ancestors().find(|folder| {
        fs::read_to_string(folder.join("Cargo.toml"))
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
    });
    found.map(Path::to_owned).ok_or_else(|| "no workspace here: run `cargo xtask` inside the clone".to_owned())
}

/// The folder that cargo builds into.
pub(crate) fn target() -> Result<PathBuf> {
    match var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(folder).map_err(|e| format!("the value of CARGO_TARGET_DIR: {e}")),
        None => Ok(workspace()?.join("target")),
    }
}

/// The folder of all services: data, logs, records.
pub(crate) fn services() -> Result<PathBuf> {
    match var_os("ONCEWARD_SERVICES_DIR") {
        Some(folder) => std::path::absolute(folder).map_err(|e| format!("the value of ONCEWARD_SERVICES_DIR: {e}")),
        None => Ok(target()?.join("services")),
    }
}

/// Creates a folder that every account may pass through: some servers change to an account of their own.
pub(crate) fn open_folder(folder: &Path) -> Result<()> {
    let told = |e| format!("{}: {e}", folder.display());
    if !folder.is_dir() {
        fs::create_dir_all(folder).map_err(told)?;
    }
    let mode = fs::metadata(folder).map_err(told)?.permissions().mode();
    if mode & 0o755 != 0o755 {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o755)).map_err(told)?;
    }
    Ok(())
}

/// The data folder of a service whose server runs as another account: beside its record, or, where a private folder
/// such as `/root` is above that, a folder under `/var/tmp` that belongs to this clone alone.
pub(crate) fn shared_data(folder: &Path) -> Result<PathBuf> {
    let reachable =
        folder.ancestors().all(|part| fs::metadata(part).is_ok_and(|m| m.permissions().mode() & 0o001 != 0));
    if reachable {
        return Ok(folder.join("data"));
    }
    let elsewhere = elsewhere(folder);
    let told = |e| format!("{}: {e}", elsewhere.display());
    match fs::symlink_metadata(&elsewhere) {
        Ok(found) if found.is_dir() && Some(found.uid()) == uid() => {}
        Ok(_) => {
            return Err(format!("{} belongs to somebody else: remove it", elsewhere.display()));
        }
        Err(_) => fs::DirBuilder::new().mode(0o755).create(&elsewhere).map_err(told)?,
    }
    Ok(elsewhere.join("data"))
}

/// Where the data lie that may not lie in this folder.
pub(crate) fn elsewhere(folder: &Path) -> PathBuf {
    let mut hash = DefaultHasher::new();
    folder.hash(&mut hash);
    PathBuf::from(format!("/var/tmp/onceward-{:016x}", hash.finish()))
}

/// The account that this program runs as.
pub(crate) fn uid() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|found| found.uid())
}

/// Does this program run as root?
pub(crate) fn is_root() -> bool {
    uid() == Some(0)
}

/// The file of a program in `PATH` or in the folders of system programs.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(ALSO.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| executable(file))
}

/// Is this a file that may be run?
pub(crate) fn executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// `PATH` for servers: the user's, and the folders of system programs.
pub(crate) fn search_path() -> std::ffi::OsString {
    let path = var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(ALSO.iter().map(PathBuf::from));
    std::env::join_paths(folders).unwrap_or(path)
}

/// One `up` or `down` at a time per folder of services.
pub(crate) fn lock() -> Result<File> {
    let folder = services()?;
    open_folder(&folder)?;
    let name = folder.join("lock");
    let told = |e| format!("{}: {e}", name.display());
    let file = File::options().create(true).append(true).open(&name).map_err(told)?;
    if file.try_lock().is_err() {
        println!("waiting for another cargo xtask");
        file.lock().map_err(told)?;
    }
    Ok(file)
}
