//! Where a call goes: who is known, whether a node fits a call, and which of those that fit is
//! picked. Pure: no socket, no clock; a link is whatever [`Endpoint`] says.

mod compat;
mod pick;
mod table;

pub(crate) use self::{
    compat::{Compat, Compats},
    pick::{Choice, Pick, draw, pick},
    table::{Endpoint, Entry, LinkStatus, Table},
};
