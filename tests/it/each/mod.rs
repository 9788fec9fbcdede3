//! Calls on many nodes: `each`.

mod deadlines;
mod ended;
mod large;
mod nested;
mod nodes;
mod one_per_region;
mod replies;
mod service;

use self::service::{Load, PlaceClient, cluster_of, names, place};
