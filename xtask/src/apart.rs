//! Test programs that stop services: beside all others, on services of their own.

use crate::members::Member;
use crate::{Result, paths, services};
use std::process::Command;

/// The names of such programs, by the manifests of these members.
pub(crate) fn programs(members: &[Member]) -> Vec<&str> {
    members.iter().flat_map(Member::apart).collect()
}

/// This tool again, for services beside the usual ones: other ports, another folder.
pub(crate) fn tool() -> Result<Command> {
    let this = std::env::current_exe().map_err(|e| format!("this program: {e}"))?;
    let mut command = Command::new(this);
    command.env("ONCEWARD_SERVICES_DIR", paths::services()?.join("apart"));
    command.env("ONCEWARD_PORT_BASE", (services::port_base()? + services::PORTS).to_string());
    for service in services::ALL {
        // The URLs of our usual ones; a foreign service is that in both places.
        if !service.foreign()? {
            command.env_remove(service.variable);
            if let Some(admin) = &service.admin {
                command.env_remove(admin.variable);
            }
        }
    }
    Ok(command)
}

/// Does that folder hold anything?
pub(crate) fn exists() -> Result<bool> {
    Ok(paths::services()?.join("apart").exists())
}
