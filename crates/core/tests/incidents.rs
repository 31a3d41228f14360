//! What has been exploited in systems like this one, tried here. Each test bears the name of its
//! class.

#[path = "incidents/access.rs"]
mod access;
#[path = "incidents/aliases.rs"]
mod aliases;
#[path = "incidents/ceremony.rs"]
mod ceremony;
#[path = "incidents/cluster.rs"]
mod cluster;
#[path = "incidents/destruction.rs"]
mod destruction;
#[path = "incidents/expiry.rs"]
mod expiry;
#[path = "incidents/imports.rs"]
mod imports;
#[path = "incidents/log.rs"]
mod log;
#[path = "incidents/names.rs"]
mod names;
#[path = "incidents/purposes.rs"]
mod purposes;
