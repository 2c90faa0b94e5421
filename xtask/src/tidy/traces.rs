//! Nothing in the repository tells on whose machine it was written.

use super::{Complaint, git};
use crate::Result;
use std::path::Path;

/// Put together here, or this file would be found.
const FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ho", "me/[a-z]"), concat!("/ro", "ot/")];

pub(super) fn check(root: &Path) -> Result<Vec<Complaint>> {
    // Not a path's own middle (`/framework/…`, `https://host/home/x`): a folder's name does not go before it.
    let pattern = format!("(^|[^[:alnum:]_.~/-])({})", FOLDERS.join("|"));
    let hits = git(root, &["grep", "--untracked", "-n", "-I", "-E", &pattern])?;
    Ok(hits.lines().map(complaint).collect())
}

fn complaint(hit: &str) -> Complaint {
    let mut parts = hit.splitn(3, ':');
    let file = parts.next().unwrap_or_default();
    let line = parts.next().and_then(|number| number.parse().ok()).unwrap_or(1);
    Complaint::new(file, line, "a path of one machine: make it relative, or a parameter")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    #[test]
    fn a_home_folder_is_found_and_a_url_is_not() {
        let folder = std::env::temp_dir().join(format!("xtask-traces-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert!(Command::new("git").args(["init", "-q"]).current_dir(&folder).status().unwrap().success());
        let text = format!("ok\nsee {}x\nhttps://host{}x\n", &FOLDERS[0], &FOLDERS[0]);
        fs::write(folder.join("a.txt"), text).unwrap();
        let told = check(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].file.as_str(), told[0].line), ("a.txt", 2));
    }
}
