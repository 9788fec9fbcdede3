//! What a node does for its operators: it reports its state, makes calls for visitors, and changes which calls it
//! accepts. The internal service of the [cluster](crate::runtime::cluster) calls these functions.

mod control;
mod error;
mod relay;
mod relay_here;
mod relay_pick;
mod report;
mod reports;
mod sender;

pub(crate) use self::{
    control::control,
    error::{error_info, too_large_to_relay},
    relay::{MAX_TIMEOUT, Relayed, relay},
    report::Identity,
    reports::{Reports, decode_report, decode_watch},
    sender::Sender,
};
